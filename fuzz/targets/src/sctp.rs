//! SCTP packets from a side that has finished its DTLS handshake, into the guard and the association
//! behind it: whoever is connected may send anything.

use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use rtc_peer::fuzzing::Association;

use crate::choices::tail;

/// Runs one input: whether there was a handshake, then one deed after the other.
pub fn run(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let mut association = Association::waiting(Instant::now());
    if choices.arbitrary().unwrap_or(true) {
        association.exchange();
        assert!(!association.has_ended(), "an honest handshake");
    }
    for _ in 0..DEEDS_MAX {
        if choices.is_empty() || act(&mut association, &mut choices).is_err() {
            break;
        }
    }
    for _ in 0..4 {
        association.pass(Duration::from_secs(1));
    }
}

fn act(association: &mut Association, choices: &mut Unstructured<'_>) -> Result<()> {
    match choices.int_in_range(0..=9)? {
        0..=4 => {
            let mut packet = Vec::new();
            for _ in 0..choices.int_in_range(1..=4)? {
                packet.extend(chunk(association, choices)?);
            }
            association.attack(&packet);
        }
        5 => {
            let packet = tail(choices, 64)?;
            association.attack_raw(packet.into());
        }
        6 => {
            let (stream, body) = message(choices)?;
            association.write(stream, &body);
        }
        7 => {
            let (stream, body) = message(choices)?;
            association.write_theirs(stream, &body);
            association.exchange();
        }
        8 => association.set_held(choices.int_in_range(0..=512_usize)? * 1024),
        _ => association.pass(Duration::from_millis(choices.int_in_range(0..=5_000)?)),
    }
    Ok(())
}

fn message(choices: &mut Unstructured<'_>) -> Result<(u16, Bytes)> {
    let stream = choices.int_in_range(0..=20)?;
    let length = choices.int_in_range(0..=70_000_usize)?;
    Ok((stream, vec![0; length].into()))
}

/// One chunk: of a kind that matters, near where it matters, or anything at all.
fn chunk(association: &Association, choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let flags = choices.arbitrary()?;
    let offset = i32::from(choices.arbitrary::<i16>()?).cast_unsigned();
    let theirs = association.contiguous().wrapping_add(offset).to_be_bytes();
    let ours = association.sent().wrapping_add(offset).to_be_bytes();
    let (kind, value) = match choices.int_in_range(0..=5)? {
        0 => (DATA, data(theirs, choices)?),
        1 => (FORWARD_TSN, [&theirs, &tail(choices, 32)?[..]].concat()),
        2 => (SACK, sack(ours, choices)?),
        3 => (RE_CONFIG, reset(theirs, choices)?),
        4 => (*choices.choose(&KINDS)?, tail(choices, 64)?),
        _ => (choices.arbitrary()?, tail(choices, 64)?),
    };
    let lies = choices.ratio(1, 8)?;
    let length = match lies {
        true => choices.arbitrary()?,
        false => u16::try_from(4 + value.len()).unwrap_or(u16::MAX),
    };
    let mut chunk = vec![kind, flags];
    chunk.extend(length.to_be_bytes());
    chunk.extend(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    Ok(chunk)
}

fn data(tsn: [u8; 4], choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut value = tsn.to_vec();
    value.extend(choices.int_in_range(0..=20_u16)?.to_be_bytes());
    value.extend(choices.arbitrary::<u16>()?.to_be_bytes());
    value.extend(choices.int_in_range(50..=57_u32)?.to_be_bytes());
    let length = choices.int_in_range(0..=1_100_u16)?;
    value.resize(value.len() + usize::from(length), 0);
    Ok(value)
}

fn sack(tsn: [u8; 4], choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut value = tsn.to_vec();
    value.extend(choices.arbitrary::<u32>()?.to_be_bytes());
    value.extend(choices.int_in_range(0..=9_u16)?.to_be_bytes());
    value.extend([0, 0]);
    value.extend(tail(choices, 32)?);
    Ok(value)
}

/// A request to reset a stream (RFC 6525 section 4.1).
fn reset(tsn: [u8; 4], choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut value = vec![0, 13, 0, 18];
    value.extend(choices.arbitrary::<u32>()?.to_be_bytes());
    value.extend([0; 4]);
    value.extend(tsn);
    value.extend(choices.int_in_range(0..=20_u16)?.to_be_bytes());
    Ok(value)
}

const DATA: u8 = 0;
const SACK: u8 = 3;
const RE_CONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
/// INIT to COOKIE ACK, and SHUTDOWN COMPLETE.
const KINDS: [u8; 12] = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 14, 193];
const DEEDS_MAX: usize = 64;
