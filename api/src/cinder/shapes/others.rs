//! Bodies about the parts of the service.

use super::Row;
use super::format::Format;
use super::parts::{
    BOOLEAN, DIGITS_OR_NONE, HOST, HOST_NAME, ID_OR_NULL, NAME, SHORT_OR_NULL, TEXT_OR_NULL, WORD,
};
use super::shape::Kind::{Integer, Null, Object, Text};
use super::shape::{Fields, Rule, Shape, Word};

const REASON: Shape = Shape(&[
    Rule::Is(&[Text]),
    Rule::LengthMin(1),
    Rule::LengthMax(255),
    Rule::Format(Format::Reason),
]);

const SERVICE: Fields = &[
    ("binary", WORD),
    ("host", HOST),
    ("cluster", SHORT_OR_NULL),
    ("service", WORD),
];

const NAMED_EITHER_WAY: Rule = Rule::AnyOf(&[
    Shape(&[Rule::Needs(&["binary"])]),
    Shape(&[Rule::Needs(&["service"])]),
]);

const SWITCH: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(SERVICE),
    NAMED_EITHER_WAY,
    Rule::Closed,
]);

const SWITCH_WITH_REASON: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(SERVICE),
    Rule::Fields(&[("disabled_reason", REASON)]),
    NAMED_EITHER_WAY,
    Rule::Closed,
]);

const BINARY: Shape = Shape(&[
    Rule::Is(&[Text]),
    Rule::Words(&[
        Word::Text("cinder-scheduler"),
        Word::Text("cinder-volume"),
        Word::Text("cinder-backup"),
        Word::Text("cinder-api"),
        Word::Text(""),
        Word::Text("*"),
    ]),
]);

const LOG: Fields = &[
    ("binary", BINARY),
    ("server", SHORT_OR_NULL),
    ("prefix", SHORT_OR_NULL),
];

const SET_LOG: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(LOG),
    Rule::Fields(&[("level", TEXT_OR_NULL)]),
    Rule::Closed,
]);

const GET_LOG: Shape = Shape(&[Rule::Is(&[Object]), Rule::Fields(LOG), Rule::Closed]);

const FREEZE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("cluster", SHORT_OR_NULL), ("host", HOST)]),
    Rule::Closed,
]);

const FAILOVER: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("host", HOST),
        ("backend_id", SHORT_OR_NULL),
        ("cluster", SHORT_OR_NULL),
    ]),
    Rule::Closed,
]);

const ENABLE_CLUSTER: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("name", NAME), ("binary", SHORT_OR_NULL)]),
    Rule::Needs(&["name"]),
    Rule::Closed,
]);

const DISABLE_CLUSTER: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", NAME),
        ("binary", SHORT_OR_NULL),
        (
            "disabled_reason",
            Shape(&[Rule::Is(&[Text, Null]), Rule::Format(Format::Reason)]),
        ),
    ]),
    Rule::Needs(&["name"]),
    Rule::Closed,
]);

const CLEANUP: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("cluster_name", HOST_NAME),
        ("disabled", BOOLEAN),
        ("host", HOST_NAME),
        ("is_up", BOOLEAN),
        (
            "binary",
            Shape(&[Rule::Words(&[
                Word::Text("cinder-volume"),
                Word::Text("cinder-scheduler"),
            ])]),
        ),
        ("resource_id", ID_OR_NULL),
        (
            "resource_type",
            Shape(&[Rule::Is(&[Text, Null]), Rule::LengthMax(40)]),
        ),
        (
            "service_id",
            Shape(&[
                Rule::Is(&[Integer, Text, Null]),
                Rule::Match(DIGITS_OR_NONE),
                Rule::LengthMax(11),
            ]),
        ),
    ]),
    Rule::Closed,
]);

const fn change(path: &'static str, shape: Shape) -> Row {
    Row::put(path, "", shape).bare()
}

pub(super) const ROWS: &[Row] = &[
    change("/os-services/enable", SWITCH),
    change("/os-services/disable", SWITCH),
    change("/os-services/disable-log-reason", SWITCH_WITH_REASON),
    change("/os-services/set-log", SET_LOG).since(32),
    change("/os-services/get-log", GET_LOG).since(32),
    change("/os-services/freeze", FREEZE),
    change("/os-services/thaw", FREEZE),
    change("/os-services/failover_host", FAILOVER),
    change("/os-services/failover", FAILOVER).since(26),
    change("/clusters/enable", ENABLE_CLUSTER).since(7),
    change("/clusters/disable", DISABLE_CLUSTER).since(7),
    Row::post("/workers/cleanup", "", CLEANUP).since(24).bare(),
];
