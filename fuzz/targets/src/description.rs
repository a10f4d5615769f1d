//! Session descriptions and candidates, which come from the other side by way of the coordinator, as
//! they are.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use rtc_peer::{Input, Signal, SignalKind};
use serde_json::json;

use crate::pair::{ACCEPTOR, DIALER, Pair};

/// Runs one input: signals with their kinds and lengths, each to a side that is what an honest
/// partner waits for.
pub fn run(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let mut pair = Pair::new(!choices.ratio(1, 4).unwrap_or_default());
    for _ in 0..SIGNALS_MAX {
        if choices.is_empty() || act(&mut pair, &mut choices).is_err() {
            break;
        }
    }
    pair.settle();
}

fn act(pair: &mut Pair, choices: &mut Unstructured<'_>) -> Result<()> {
    let side = if choices.arbitrary()? {
        DIALER
    } else {
        ACCEPTOR
    };
    let expected = match side {
        DIALER => SignalKind::Offer,
        _ => SignalKind::Answer,
    };
    let (kind, is_json) = match choices.int_in_range(0..=7)? {
        0..=2 => (expected, false),
        3 => (expected, true),
        4..=5 => (SignalKind::Candidate, false),
        6 => (SignalKind::Candidate, true),
        _ => return honest(pair, choices),
    };
    let length = choices.arbitrary::<u16>()?;
    let bytes = choices.bytes(usize::from(length).min(choices.len()))?;
    let text = String::from_utf8_lossy(bytes);
    // What is JSON already need not be invented anew by the fuzzer.
    let data = match (kind, is_json) {
        (_, true) => bytes.to_vec(),
        (SignalKind::Offer, _) => json!({"type": "offer", "sdp": text}).to_string().into(),
        (SignalKind::Answer, _) => json!({"type": "answer", "sdp": text}).to_string().into(),
        (SignalKind::Candidate, _) => json!({"candidate": text}).to_string().into(),
    };
    let data = data.into();
    pair.input(side, Input::Signal(Signal { kind, data }));
    Ok(())
}

/// What an honest side has to say arrives, and some time passes.
fn honest(pair: &mut Pair, choices: &mut Unstructured<'_>) -> Result<()> {
    if let Some((side, signal)) = pair.signals.pop_front() {
        pair.input(side, Input::Signal(signal));
    }
    pair.pass(Duration::from_millis(choices.int_in_range(0..=500)?));
    pair.deliver();
    Ok(())
}

const SIGNALS_MAX: usize = 40;
