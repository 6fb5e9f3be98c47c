//! XML of Identity v2.0: small trees of elements of one namespace, read and written.
//!
//! What is read comes from anybody, so the reader refuses all that the bodies of v2.0 do not need and
//! that attacks are made of: document types, with them every entity of one's own, processing
//! instructions, encodings other than UTF-8, elements of other namespaces, and more depth, elements,
//! attributes or bytes than any real body has. Nothing outside of the text is ever opened.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_xml_entity};
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// The namespace of all elements.
pub(super) const NAMESPACE: &str = "http://docs.openstack.org/identity/api/v2.0";
/// Longest document read, in bytes: a request with the longest password heard, all of it escaped.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;
/// Deepest element read; requests have two levels.
const DEPTH_MAX: usize = 8;
/// Most elements read.
const ELEMENTS_MAX: usize = 256;
/// Most attributes of an element, declarations of namespaces among them.
const ATTRIBUTES_MAX: usize = 16;
/// Longest value of an attribute, in bytes.
const VALUE_BYTES_MAX: usize = 8 << 10;
/// Longest name of an element or attribute, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// An element of [`NAMESPACE`], by its local name. Attributes of other namespaces are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
}

/// A text that is not read as XML of v2.0; says why in terms that repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadXml(&'static str);

const MALFORMED: BadXml = BadXml("The body is not well-formed XML.");
const DOCUMENT_TYPE: BadXml = BadXml("Document types and processing instructions are not heard.");
const ENTITY: BadXml = BadXml("Entities other than the predefined ones are not known.");
const ENCODING: BadXml = BadXml("The body is not UTF-8.");
const FOREIGN: BadXml = BadXml("An element is not of the namespace of Identity v2.0.");
const TOO_LARGE: BadXml = BadXml("The body is larger, deeper or wider than any that is needed.");

impl Element {
    /// An element without anything in it.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// With an attribute more.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }

    /// With children more.
    pub(super) fn holding(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// With a text.
    pub(super) fn saying(mut self, text: &str) -> Self {
        self.text = text.to_owned();
        self
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first child of a name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Reads a document.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BadXml> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ENCODING)?;
        Parser::default().run(text)
    }

    /// The element as a document.
    pub(super) fn document(&self) -> String {
        let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        self.write(&mut out, Some(NAMESPACE));
        out
    }

    /// Recurses as deep as the element is, which is made here or was read within bounds.
    fn write(&self, out: &mut String, namespace: Option<&str>) {
        out.push('<');
        out.push_str(&self.name);
        let namespace = namespace.map(|uri| ("xmlns", uri));
        let own = self.attributes.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in namespace.into_iter().chain(own) {
            out.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
        if self.children.is_empty() && self.text.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        out.push_str(&escaped(&self.text));
        self.children
            .iter()
            .for_each(|child| child.write(out, None));
        out.push_str(&format!("</{}>", self.name));
    }
}

/// A text as it stands in a document. White space is written as references, or it would be read as
/// spaces; what XML has no way to write becomes a replacement character.
fn escaped(text: &str) -> Cow<'_, str> {
    let escaped = escape(text);
    let odd = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if !escaped.contains(odd) {
        return escaped;
    }
    let written = escaped.chars().map(|c| match c {
        '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}' => format!("&#{};", u32::from(c)),
        c if odd(c) => '\u{fffd}'.to_string(),
        c => c.to_string(),
    });
    Cow::Owned(written.collect())
}

/// Where reading is: the elements that are open, the outermost first, and the root once it is closed.
#[derive(Default)]
struct Parser {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Parser {
    fn run(mut self, text: &str) -> Result<Element, BadXml> {
        let mut reader = NsReader::from_str(text);
        let resolver = reader.resolver_mut();
        resolver.set_max_declarations_per_element(ATTRIBUTES_MAX);
        // Each turn takes a part of a text of bounded length.
        loop {
            let event = reader.read_event().map_err(|_| MALFORMED)?;
            match event {
                Event::Start(start) => self.start(&reader, &start)?,
                Event::Empty(start) => {
                    self.start(&reader, &start)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?,
                Event::Text(text) => self.text(&text.decode().map_err(|_| ENCODING)?)?,
                Event::CData(text) => self.text(&text.decode().map_err(|_| ENCODING)?)?,
                Event::GeneralRef(reference) => self.text(&resolved(&reference)?)?,
                Event::Comment(_) => {}
                Event::Decl(declaration) => check_declaration(&declaration)?,
                Event::DocType(_) | Event::PI(_) => return Err(DOCUMENT_TYPE),
                Event::Eof => break,
            }
        }
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            Some(_) | None => Err(MALFORMED),
        }
    }

    fn start(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<(), BadXml> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX || self.open.len() >= DEPTH_MAX {
            return Err(TOO_LARGE);
        }
        if self.root.is_some() {
            return Err(MALFORMED);
        }
        let (namespace, local) = reader.resolver().resolve_element(start.name());
        match namespace {
            ResolveResult::Bound(bound) if bound.as_ref() == NAMESPACE.as_bytes() => {}
            ResolveResult::Bound(_) | ResolveResult::Unbound => return Err(FOREIGN),
            ResolveResult::Unknown(_) => return Err(MALFORMED),
        }
        let mut element = Element::new(name_of(local.as_ref())?);
        for (count, attribute) in start.attributes().enumerate() {
            let attribute = attribute.map_err(|_| MALFORMED)?;
            if count >= ATTRIBUTES_MAX || attribute.value.len() > VALUE_BYTES_MAX {
                return Err(TOO_LARGE);
            }
            let key = attribute.key;
            if let ResolveResult::Unknown(_) = reader.resolver().resolve_attribute(key).0 {
                return Err(MALFORMED);
            }
            // Read even where it is left out, for it might hold an entity.
            let value = attribute.normalized_value(XmlVersion::Explicit1_0);
            let value = value.map_err(|_| ENTITY)?.into_owned();
            if key.prefix().is_none() && key.as_namespace_binding().is_none() {
                let name = name_of(key.as_ref())?.to_owned();
                element.attributes.push((name, value));
            }
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) -> Result<(), BadXml> {
        let element = self.open.pop().ok_or(MALFORMED)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    /// Text between elements of a body is white space, which means nothing.
    fn text(&mut self, text: &str) -> Result<(), BadXml> {
        match self.open.last_mut() {
            Some(element) if !element.text.is_empty() || !text.trim().is_empty() => {
                element.text.push_str(text);
                Ok(())
            }
            Some(_) => Ok(()),
            None if text.trim().is_empty() => Ok(()),
            None => Err(MALFORMED),
        }
    }
}

fn name_of(bytes: &[u8]) -> Result<&str, BadXml> {
    if bytes.len() > NAME_BYTES_MAX {
        return Err(TOO_LARGE);
    }
    std::str::from_utf8(bytes).map_err(|_| ENCODING)
}

/// What a reference in a text stands for: a character or a predefined entity.
fn resolved(reference: &BytesRef<'_>) -> Result<String, BadXml> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| ENTITY)? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|_| ENCODING)?;
    resolve_xml_entity(&name).map(str::to_owned).ok_or(ENTITY)
}

/// The text is read as UTF-8; one that says it is something else is not what it seems.
fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), BadXml> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if name.eq_ignore_ascii_case(b"utf-8") => Ok(()),
        Some(Ok(_)) => Err(ENCODING),
        Some(Err(_)) => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, proptest};

    use super::{
        BadXml, DOCUMENT_TYPE, ENCODING, ENTITY, Element, FOREIGN, MALFORMED, NAMESPACE, TOO_LARGE,
    };

    fn parse(inside: &str) -> Result<Element, BadXml> {
        Element::parse(format!("<auth xmlns=\"{NAMESPACE}\"{inside}").as_bytes())
    }

    #[test]
    fn elements_are_told_by_namespace_and_not_by_prefix() {
        let plain = parse(" tenantName=\"d &amp; &#x65;\"><token id='t'/> \n </auth>").unwrap();
        assert_eq!(plain.attribute("tenantName"), Some("d & e"));
        let token = plain.child("token").unwrap();
        assert_eq!(token.attribute("id"), Some("t"));
        assert!(plain.text.is_empty());
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><k:auth xmlns:k=\"{NAMESPACE}\" \
             xmlns:xsi=\"urn:x\" xsi:schemaLocation=\"x\" tenantName=\"d &amp; e\">\
             <k:token id=\"t\"/></k:auth>"
        );
        assert_eq!(Element::parse(text.as_bytes()), Ok(plain));
        assert_eq!(Element::parse(b"<auth/>"), Err(FOREIGN));
        assert_eq!(Element::parse(b"<auth xmlns='urn:x'/>"), Err(FOREIGN));
        assert_eq!(parse("><token xmlns=''/></auth>"), Err(FOREIGN));
        assert_eq!(Element::parse(b"<k:auth/>"), Err(MALFORMED));
        assert_eq!(parse(" k:a='1'/>"), Err(MALFORMED));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for text in [
            "",
            ">",
            "><token></auth>",
            " a='1' a='2'/>",
            " a=1/>",
            "/>x",
            "/><b/>",
        ] {
            assert_eq!(parse(text), Err(MALFORMED), "{text}");
        }
        assert_eq!(Element::parse(b""), Err(MALFORMED));
        assert_eq!(Element::parse(b"\xff\xfe<\0a\0"), Err(ENCODING));
        let other = b"<?xml version='1.0' encoding='UTF-16'?><auth/>";
        assert_eq!(Element::parse(other), Err(ENCODING));
    }

    #[test]
    fn nothing_is_expanded_or_opened() {
        let dtd = "<!DOCTYPE auth [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
        let text = format!("{dtd}<auth xmlns=\"{NAMESPACE}\" tenantName=\"&x;\"/>");
        assert_eq!(Element::parse(text.as_bytes()), Err(DOCUMENT_TYPE));
        assert_eq!(parse("><?php x?></auth>"), Err(DOCUMENT_TYPE));
        assert_eq!(parse(" a='&x;'/>"), Err(ENTITY));
        assert_eq!(parse(">&x;</auth>"), Err(ENTITY));
        assert_eq!(parse(" a='&#0;'/>"), Err(ENTITY));
    }

    #[test]
    fn size_depth_and_width_are_bounded() {
        let deep = format!(">{}{}</auth>", "<a>".repeat(8), "</a>".repeat(8));
        let wide = format!(">{}</auth>", "<a/>".repeat(256));
        let attributes: String = (0..17).map(|n| format!(" a{n}=''")).collect();
        let namespaces: String = (0..17).map(|n| format!(" xmlns:a{n}='u'")).collect();
        let value = format!(" a='{}'/>", "x".repeat(8193));
        let name = format!("><{}/></auth>", "n".repeat(129));
        for text in [deep, wide, attributes + "/>", value, name] {
            assert_eq!(parse(&text), Err(TOO_LARGE));
        }
        assert!(parse(&(namespaces + "/>")).is_err());
        assert_eq!(Element::parse(&[b' '; 65537]), Err(TOO_LARGE));
    }

    fn element() -> impl Strategy<Value = Element> {
        let text = "[\\PC\t\n\r\u{80}]{0,12}";
        let attributes = prop::collection::btree_map("[a-z]{1,4}", text, 0..4);
        let make = |(name, attributes): (String, _)| Element {
            name,
            attributes: Vec::from_iter(attributes),
            ..Element::default()
        };
        let leaf = ("[a-z]{1,8}", attributes).prop_map(make);
        leaf.prop_recursive(4, 16, 4, |inner| {
            let children = prop::collection::vec(inner, 0..4);
            ("[a-z]{1,8}", children).prop_map(|(name, children)| Element {
                name,
                children,
                ..Element::default()
            })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(element in element()) {
            let document = element.document();
            assert_eq!(Element::parse(document.as_bytes()), Ok(element), "{document}");
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>(), text in "[<>/a-z\"'&; =!\\[\\]?-]{0,64}") {
            drop(Element::parse(&bytes));
            drop(parse(&text));
        }

        #[test]
        fn any_text_is_written_as_xml(text in any::<String>()) {
            let element = Element::new("message").saying(&text).with("a", &text);
            assert!(Element::parse(element.document().as_bytes()).is_ok());
        }
    }
}
