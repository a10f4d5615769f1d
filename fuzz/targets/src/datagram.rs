//! What a network, and strangers in it, can do to the datagrams between two peers: lose, repeat,
//! reorder and change them, make new ones, some with the password that signalling carried.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use rtc_peer::{Input, Lane, fuzzing};

use crate::{
    choices::tail,
    pair::{From, Pair},
};

/// Runs one input: how the acceptor does ICE, how far both have come, then one deed after the other.
pub fn run(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let ice_lite = !choices.ratio(1, 4).unwrap_or_default();
    let mut network = Network::new(ice_lite);
    let head_start = choices.int_in_range(0..=40).unwrap_or_default();
    network.head_start(head_start);
    for _ in 0..DEEDS_MAX {
        if choices.is_empty() || network.act(&mut choices).is_err() {
            break;
        }
    }
    network.pair.settle();
}

struct Network {
    pair: Pair,
    /// Of each side, as its description says.
    passwords: [String; 2],
}

impl Network {
    /// Both have described themselves; nothing has arrived yet.
    fn new(ice_lite: bool) -> Self {
        let mut pair = Pair::new(ice_lite);
        let mut passwords = [String::new(), String::new()];
        while let Some((side, signal)) = pair.signals.pop_front() {
            if let Some(password) = password(&signal.data) {
                passwords[1 - side] = password;
            }
            pair.input(side, Input::Signal(signal));
        }
        Self { pair, passwords }
    }

    /// So many datagrams arrive as they should.
    fn head_start(&mut self, datagrams: usize) {
        for _ in 0..datagrams {
            if !self.pair.deliver() {
                self.pair.pass(Duration::from_millis(60));
            }
        }
    }

    fn act(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let side = usize::from(choices.arbitrary::<bool>()?);
        match choices.int_in_range(0..=15)? {
            0..=2 => {
                self.pair.deliver();
            }
            3 => {
                self.pair.datagrams.pop_front();
            }
            4 => self
                .pair
                .datagrams
                .rotate_left(1.min(self.pair.datagrams.len())),
            5 => {
                let again = self.pair.datagrams.front().cloned();
                self.pair.datagrams.extend(again);
            }
            6..=7 => self.change(choices)?,
            8 => self.make_check(side, choices)?,
            9 => self.make_record(side, choices)?,
            10 => {
                let from = source(choices)?;
                self.pair.arrive(side, from, &tail(choices, 100)?);
            }
            11..=12 => {
                let time = choices.int_in_range(0..=2_000)?;
                self.pair.pass(Duration::from_millis(time));
            }
            13 => {
                let lane = lane(choices)?;
                let body = vec![0; choices.int_in_range(0..=20_000)?];
                self.pair.send(side, lane, &Bytes::from(body));
            }
            14 => {
                let (lane, paused) = (lane(choices)?, choices.arbitrary()?);
                self.pair.set_paused(side, lane, paused);
            }
            _ if choices.ratio(1, 4)? => self.pair.input(side, Input::CloseWith(11)),
            _ => {}
        }
        Ok(())
    }

    /// The oldest datagram under way arrives changed; a check perhaps with its hash put right.
    fn change(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let Some((side, mut bytes)) = self.pair.datagrams.pop_front() else {
            return Ok(());
        };
        for _ in 0..choices.int_in_range(1..=3)? {
            let at = choices.int_in_range(0..=bytes.len().saturating_sub(1))?;
            let difference: u8 = choices.arbitrary()?;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= difference;
            }
        }
        if choices.ratio(1, 4)? {
            bytes.truncate(choices.int_in_range(0..=bytes.len())?);
        }
        if choices.ratio(1, 4)? {
            bytes.extend(tail(choices, 40)?);
        }
        if choices.arbitrary()? {
            // A request is under the password of whom it goes to, its answer too.
            let is_answer = bytes.first().is_some_and(|class| class & 1 == 1);
            let password = &self.passwords[if is_answer { 1 - side } else { side }];
            bytes = fuzzing::reseal_stun(bytes, password);
        }
        let from = source(choices)?;
        self.pair.arrive(side, from, &bytes);
        Ok(())
    }

    /// A connectivity check of any attributes, with a good hash.
    fn make_check(&mut self, side: usize, choices: &mut Unstructured<'_>) -> Result<()> {
        let kind = match choices.ratio(3, 4)? {
            true => 1,
            false => choices.arbitrary()?,
        };
        let mut attributes = Vec::new();
        if choices.ratio(3, 4)? {
            let [ours, theirs] = [side, 1 - side].map(|side| self.pair.peers[side].local_ufrag());
            let name = format!("{ours}:{theirs}");
            attributes.extend(attribute(6, name.as_bytes()));
        }
        for _ in 0..choices.int_in_range(0..=3)? {
            let kinds = [
                0x24,
                0x25,
                0x29,
                0x2a,
                0x20,
                0x06,
                0x09,
                0x8028,
                choices.arbitrary()?,
            ];
            let kind = *choices.choose(&kinds)?;
            attributes.extend(attribute(kind, &tail(choices, 24)?));
        }
        let check = fuzzing::stun(kind, &attributes, &self.passwords[side]);
        let from = source(choices)?;
        self.pair.arrive(side, from, &check);
        Ok(())
    }

    /// A DTLS record of any kind and place.
    fn make_record(&mut self, side: usize, choices: &mut Unstructured<'_>) -> Result<()> {
        let kind = choices.int_in_range(20..=26_u8)?;
        let epoch = choices.int_in_range(0..=2_u8)?;
        let number = choices.int_in_range(0..=40_u8)?;
        let body = tail(choices, 120)?;
        let length = u16::try_from(body.len()).unwrap_or_default();
        let mut record = vec![kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, number];
        record.extend(length.to_be_bytes());
        record.extend(body);
        self.pair.arrive(side, From::Partner, &record);
        Ok(())
    }
}

/// As it stands in a description, in JSON.
fn password(description: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(description).ok()?;
    let (_, rest) = text.split_once("a=ice-pwd:")?;
    let (password, _) = rest.split_once('\\')?;
    Some(password.to_owned())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = kind.to_be_bytes().to_vec();
    attribute.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

fn source(choices: &mut Unstructured<'_>) -> Result<From> {
    let stranger = choices.ratio(1, 4)?;
    Ok(if stranger {
        From::Stranger
    } else {
        From::Partner
    })
}

fn lane(choices: &mut Unstructured<'_>) -> Result<Lane> {
    choices.choose(&Lane::ALL).copied()
}

const DEEDS_MAX: usize = 100;
