//! What is made to do harm.

use http::StatusCode;

use super::{XML, post};
use crate::keystone::v2::without_secrets;
use crate::keystone::v2::xml::NAMESPACE;
use crate::testing::Cloud;

#[tokio::test]
async fn hostile_xml_gets_nothing_and_nothing_happens() {
    let cloud = Cloud::new();
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let laughs = format!("<!DOCTYPE auth [<!ENTITY l0 \"ha\">{laughs}]>");
    let auth = |inside: &str| format!("<auth xmlns=\"{NAMESPACE}\" tenantName=\"{inside}\"/>");
    let outside = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    let parameter = "<!DOCTYPE a [<!ENTITY % x SYSTEM \"http://127.0.0.1:9/x.dtd\"> %x;]>";
    let include = format!(
        "<auth xmlns=\"{NAMESPACE}\" xmlns:xi=\"http://www.w3.org/2001/XInclude\">\
         <xi:include parse=\"text\" href=\"file:///etc/passwd\"/></auth>"
    );
    let open = format!("<auth xmlns=\"{NAMESPACE}\">");
    let hostile: [Vec<u8>; 10] = [
        format!("{laughs}{}", auth("&l9;")).into(),
        format!("{outside}{}", auth("&x;")).into(),
        format!("{parameter}{}", auth("a")).into(),
        include.into(),
        format!("{open}{}", "<a>".repeat(20_000)).into(),
        format!("{open}{}</auth>", "<a/>".repeat(12_000)).into(),
        auth(&"x".repeat(50_000)).into(),
        format!("<auth xmlns=\"{NAMESPACE}\"{}/>", " a='1'".repeat(5_000)).into(),
        [auth("").as_bytes(), b"\xff\xfe"].concat(),
        b"\xfe\xff\0<\0a\0u\0t\0h\0/\0>".to_vec(),
    ];
    for body in hostile {
        let told = post(&cloud, XML, body).await;
        assert_eq!(told.status, StatusCode::BAD_REQUEST, "{}", told.text);
        assert_eq!(told.xml().name, "badRequest");
        assert!(!told.text.contains("root:") && told.text.len() < 512);
    }
}

#[test]
fn tokens_in_paths_are_not_logged() {
    let hidden = |path: &str| without_secrets(path).into_owned();
    assert_eq!(hidden("/v2.0/tokens/secret"), "/v2.0/tokens/***");
    assert_eq!(
        hidden("/identity/v2.0/tokens/secret/endpoints"),
        "/identity/v2.0/tokens/***/endpoints"
    );
    assert_eq!(hidden("/v2.0/tokens"), "/v2.0/tokens");
    assert_eq!(hidden("/v3/auth/tokens"), "/v3/auth/tokens");
}
