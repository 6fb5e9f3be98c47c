//! `/exports`: the open NBD connections.

use axum::Json;
use axum::extract::State;

use crate::auth::Caller;
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::{Connection, Services, Transport};
use crate::types::native as wire;

/// How a connection is told of. The name of an attachment's export is a secret as a whole, so the
/// attachment stands for it; on the unix socket objects go by their ids.
fn view(connection: Connection) -> wire::ExportConnection {
    let export = match connection.attachment {
        Some(attachment) => format!("attachment {attachment}"),
        None => connection.object.to_string(),
    };
    wire::ExportConnection {
        id: connection.id,
        export,
        volume_id: connection.object.to_string(),
        peer: connection.peer,
        kind: match connection.transport {
            Transport::Tcp => wire::ConnectionKind::Tcp,
            Transport::Unix => wire::ConnectionKind::Unix,
        },
        read_only: connection.read_only,
        read_bytes: connection.read_bytes,
        written_bytes: connection.written_bytes,
        since_us: connection.opened_us,
    }
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<wire::ExportList>, Fault> {
    caller.check_own(Rule::NativeGetExports)?;
    // A short lock over memory: nothing here blocks.
    let listed = services.exports().connections().into_iter();
    let connections = listed.map(view).collect();
    Ok(Json(wire::ExportList { connections }))
}
