//! How a message is shown: a line for people, or a line of JSON for programs.

use std::io::{self, Write};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use client::{Identity, Message};
use serde::Serialize;

/// What of a message is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) json: bool,
    pub(crate) topic: bool,
    pub(crate) identity: bool,
}

/// Writes a message, and the end of its line.
pub(crate) fn write(out: &mut impl Write, message: &Message, manner: Manner) -> io::Result<()> {
    if manner.json {
        serde_json::to_writer(&mut *out, &Line::of(message)).map_err(io::Error::from)?;
        return out.write_all(b"\n");
    }
    if manner.topic {
        write!(out, "{}\t", message.topic.as_deref().unwrap_or("-"))?;
    }
    if manner.identity {
        let identity = message.identity.as_ref();
        let name = identity.map_or_else(|| "-".to_owned(), |identity| text(&identity.bytes));
        write!(out, "{}\t{name}\t", message.from_alias)?;
    }
    writeln!(out, "{}", text(&message.body))
}

/// Bytes as they are when a terminal can show them, or as base64 that says so.
fn text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_harmless) => text.to_owned(),
        _ => format!("base64:{}", BASE64_STANDARD.encode(bytes)),
    }
}

/// What moves no cursor, and turns no text around.
fn is_harmless(char: char) -> bool {
    let turns =
        matches!(char, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    matches!(char, '\n' | '\t') || !(char.is_control() || turns)
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Nothing from a server of 2019, which does not tell.
    topic: Option<&'a str>,
    from: u64,
    lane: &'static str,
    seq: u64,
    #[serde(flatten)]
    body: Body<'a>,
    /// Nothing when the publisher did not tell.
    identity: Option<Publisher<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Body<'a> {
    Body(&'a str),
    BodyBase64(String),
}

#[derive(Debug, Serialize)]
struct Publisher<'a> {
    #[serde(flatten)]
    name: Name<'a>,
    role: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Name<'a> {
    Name(&'a str),
    NameBase64(String),
}

impl<'a> Line<'a> {
    fn of(message: &'a Message) -> Self {
        Self {
            topic: message.topic.as_deref(),
            from: message.from_alias,
            lane: message.lane.label(),
            seq: message.seq,
            body: str::from_utf8(&message.body).map_or_else(
                |_| Body::BodyBase64(BASE64_STANDARD.encode(&message.body)),
                Body::Body,
            ),
            identity: message.identity.as_ref().map(Publisher::of),
        }
    }
}

impl<'a> Publisher<'a> {
    fn of(identity: &'a Identity) -> Self {
        Self {
            name: str::from_utf8(&identity.bytes).map_or_else(
                |_| Name::NameBase64(BASE64_STANDARD.encode(&identity.bytes)),
                Name::Name,
            ),
            role: identity.role,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use client::Lane;

    fn message(body: &'static [u8], identity: Option<&'static [u8]>) -> Message {
        Message {
            from_alias: 4711,
            topic: Some("plaza/chat".into()),
            seq: 3,
            lane: Lane::Reliable,
            body: Bytes::from_static(body),
            identity: identity.map(|name| Identity {
                bytes: Bytes::from_static(name),
                role: 1,
            }),
        }
    }

    fn shown(message: &Message, json: bool, topic: bool, identity: bool) -> String {
        let mut out = Vec::new();
        let manner = Manner {
            json,
            topic,
            identity,
        };
        write(&mut out, message, manner).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn text_is_text_and_the_rest_says_what_it_is() {
        for (body, line) in [
            (&b"hello"[..], "hello\n"),
            (b"", "\n"),
            ("zwei\n\tZeilen ü".as_bytes(), "zwei\n\tZeilen ü\n"),
            (&[0xff, 0x00], "base64:/wA=\n"),
            // What would drive the terminal.
            (b"\x1b[2J", "base64:G1sySg==\n"),
            (b"a\rb", "base64:YQ1i\n"),
            ("\u{202e}gpj.exe".as_bytes(), "base64:4oCuZ3BqLmV4ZQ==\n"),
        ] {
            assert_eq!(shown(&message(body, None), false, false, false), line);
        }
    }

    #[test]
    fn fields_before_the_body_are_separated_by_tabs() {
        let anonymous = message(b"hi", None);
        assert_eq!(shown(&anonymous, false, true, false), "plaza/chat\thi\n");
        assert_eq!(shown(&anonymous, false, false, true), "4711\t-\thi\n");
        let ann = message(b"hi", Some(b"ann"));
        assert_eq!(
            shown(&ann, false, true, true),
            "plaza/chat\t4711\tann\thi\n"
        );
        let of_2019 = Message {
            topic: None,
            ..anonymous
        };
        assert_eq!(shown(&of_2019, false, true, false), "-\thi\n");
    }

    #[test]
    fn json_is_one_object_a_line() {
        assert_eq!(
            shown(
                &message(b"two\nlines \x1b", Some(b"ann")),
                true,
                false,
                false
            ),
            "{\"topic\":\"plaza/chat\",\"from\":4711,\"lane\":\"reliable\",\"seq\":3,\
             \"body\":\"two\\nlines \\u001b\",\"identity\":{\"name\":\"ann\",\"role\":1}}\n"
        );
        let bytes = Message {
            topic: None,
            lane: Lane::Unreliable,
            ..message(&[0xff], Some(&[0xfe]))
        };
        assert_eq!(
            shown(&bytes, true, false, false),
            "{\"topic\":null,\"from\":4711,\"lane\":\"unreliable\",\"seq\":3,\
             \"body_base64\":\"/w==\",\"identity\":{\"name_base64\":\"/g==\",\"role\":1}}\n"
        );
    }
}
