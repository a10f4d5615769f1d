//! Descriptions as browsers and pion write them, and what must be refused.

use proptest::prelude::*;

use super::*;

/// What Chromium answers to an offer of one data-channel section, values shortened.
const CHROMIUM: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
    a=group:BUNDLE 0\r\na=msid-semantic: WMS\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:Yk3f\r\na=ice-pwd:0123456789abcdefghijklmn\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:\
    10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:active\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

/// What pion of 2019 offers: attributes of the session, the old form of the port, LF only.
const PION: &str = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:\
    10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f\n\
    a=group:BUNDLE data\nm=application 9 DTLS/SCTP 5000\nc=IN IP4 0.0.0.0\na=setup:actpass\n\
    a=mid:data\na=sendrecv\na=sctpmap:5000 webrtc-datachannel 1024\na=ice-ufrag:abcdefgh\n\
    a=ice-pwd:ABCDEFGHabcdefgh01234567\n\
    a=candidate:foundation 1 udp 2130706431 192.0.2.7 5555 typ host generation 0\n\
    a=candidate:foundation 2 udp 2130706431 192.0.2.7 5555 typ host generation 0\n\
    a=end-of-candidates\n";

fn ours() -> Description {
    Description {
        mid: "0".to_owned(),
        ice_lite: true,
        ice_ufrag: "abcd+/01".to_owned(),
        ice_password: "0123456789abcdefghij+/".to_owned(),
        fingerprint: Fingerprint::of(b"certificate"),
        setup: Setup::ActPass,
        message_bytes_max: Some(65_536),
        candidates: vec![
            host_candidate("192.0.2.1:7000".parse().unwrap(), 0),
            host_candidate("[2001:db8::1]:7000".parse().unwrap(), 1),
        ],
    }
}

#[test]
fn reads_what_it_writes() {
    assert_eq!(Description::parse(&ours().write(u64::MAX)), Ok(ours()));
}

#[test]
fn candidates_are_in_the_order_of_preference() {
    let [first, second] = <[String; 2]>::try_from(ours().candidates).unwrap();
    assert_eq!(
        first,
        "candidate:1 1 udp 2130706431 192.0.2.1 7000 typ host"
    );
    assert_eq!(
        second,
        "candidate:2 1 udp 2130706175 2001:db8::1 7000 typ host"
    );
}

#[test]
fn reads_a_browser() {
    let description = Description::parse(CHROMIUM).unwrap();
    assert_eq!(description.setup, Setup::Active);
    assert_eq!(description.ice_ufrag, "Yk3f");
    assert_eq!(description.message_bytes_max, Some(262_144));
    assert!(!description.ice_lite);
    assert_eq!(description.fingerprint.as_bytes()[31], 0x1F);
}

#[test]
fn reads_pion_of_2019() {
    let description = Description::parse(PION).unwrap();
    assert_eq!(description.mid, "data");
    assert_eq!(description.setup, Setup::ActPass);
    assert_eq!(description.candidates.len(), 2);
    assert_eq!(
        description.message_bytes_max,
        Some(65_536),
        "the default of RFC 8841"
    );
}

#[test]
fn no_limit_is_said_with_zero() {
    let unlimited = CHROMIUM.replace("max-message-size:262144", "max-message-size:0");
    assert_eq!(
        Description::parse(&unlimited).unwrap().message_bytes_max,
        None
    );
}

#[test]
fn refuses_what_cannot_work() {
    let without = |line: &str| {
        let lines = CHROMIUM.lines().filter(|l| !l.starts_with(line));
        lines.collect::<Vec<_>>().join("\r\n")
    };
    for (sdp, why) in [
        (String::new(), "no section"),
        (without("m="), "no section"),
        (without("a=ice-ufrag"), "no ice-ufrag"),
        (without("a=ice-pwd"), "no ice-pwd"),
        (without("a=fingerprint"), "no sha-256 fingerprint"),
        (
            CHROMIUM.replace("sha-256", "sha-1"),
            "no sha-256 fingerprint",
        ),
        (
            CHROMIUM.replace("application 9", "application 0"),
            "data channels refused",
        ),
        (
            CHROMIUM.replace("application 9", "audio 9"),
            "no data-channel section",
        ),
        (
            CHROMIUM.replace("DTLS/SCTP", "RTP/SAVPF"),
            "no data-channel section",
        ),
        (
            CHROMIUM.replace("sctp-port:5000", "sctp-port:5001"),
            "sctp-port is not 5000",
        ),
        (
            CHROMIUM.replace("setup:active", "setup:holdconn"),
            "bad setup",
        ),
        (CHROMIUM.replace("ufrag:Yk3f", "ufrag:Yk3"), "bad ice-ufrag"),
        (
            format!("{CHROMIUM}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"),
            "more than one section",
        ),
        (format!("{CHROMIUM}{}", "a=x\r\n".repeat(4000)), "too long"),
    ] {
        assert_eq!(Description::parse(&sdp), Err(why));
    }
}

#[test]
fn candidates_are_bounded() {
    let many = format!(
        "{CHROMIUM}{}",
        "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n".repeat(40)
    );
    assert_eq!(
        Description::parse(&many).unwrap().candidates.len(),
        CANDIDATES_MAX
    );
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_without_panic(text in "\\PC{0,200}") {
        prop_assert!(Description::parse(&text).is_err());
    }

    #[test]
    fn damaged_descriptions_do_not_panic(at in 0..CHROMIUM.len(), with in "\\PC{0,3}") {
        let damaged = format!("{}{with}{}", &CHROMIUM[..at], &CHROMIUM[at..]);
        drop(Description::parse(&damaged));
    }
}
