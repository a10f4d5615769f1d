//! What an engine has to do, one behaviour each: `Err` says what it did instead.

use std::time::Duration;

use bytes::Bytes;
use rtc_peer::Lane;

use crate::engine::{AcceptorDtls, Duel, Make};
use crate::link::{ACCEPTOR, DIALER, Impair, LOSSLESS};

/// A behaviour by its name.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) check: fn(Make) -> Result<(), String>,
}

pub(crate) const CASES: [Case; 13] = [
    case("opens both lanes in either DTLS role", opens),
    case("opens as DTLS server at 5 % loss", |make| {
        handshakes(make, AcceptorDtls::Passive)
    }),
    case("opens as DTLS client at 5 % loss", |make| {
        handshakes(make, AcceptorDtls::Active)
    }),
    case("keeps to the MTU and carries 64 KiB whole", |make| {
        sizes(make, &SIZES)
    }),
    case("carries an empty packet", |make| sizes(make, &[0])),
    case(
        "reliable is complete and in order at 10 % loss, reordered, doubled",
        reliable,
    ),
    case(
        "unreliable from the acceptor never waits and never repeats",
        |make| unreliable(make, ACCEPTOR),
    ),
    case(
        "unreliable from the dialer never waits and never repeats",
        |make| unreliable(make, DIALER),
    ),
    case("a lost tail is repaired within half a second", tail),
    case("a queue of 2,000 packets arrives", deep_queue),
    case(
        "who is not read makes the other side stop, and loses nothing",
        shut_window,
    ),
    case("a close is told at once", closes),
    case("gives back the memory of a burst and of itself", memory),
];

const fn case(name: &'static str, check: fn(Make) -> Result<(), String>) -> Case {
    Case { name, check }
}

const ROLES: [AcceptorDtls; 2] = [AcceptorDtls::Passive, AcceptorDtls::Active];
const SIDES: [usize; 2] = [ACCEPTOR, DIALER];

fn ensure(good: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if good { Ok(()) } else { Err(what()) }
}

fn opens(make: Make) -> Result<(), String> {
    for dtls in ROLES {
        let duel = Duel::connected(make, 1, dtls, LOSSLESS)?;
        for open in &duel.open {
            ensure(open.len() == 2, || format!("{dtls:?}: {open:?}"))?;
        }
    }
    Ok(())
}

fn handshakes(make: Make, dtls: AcceptorDtls) -> Result<(), String> {
    let open = |seed: &u64| Duel::connected(make, *seed, dtls, Impair::loss(0.05)).is_ok();
    let count = (0..HANDSHAKES).filter(open).count();
    ensure(u64::try_from(count) == Ok(HANDSHAKES), || {
        format!("{count} of {HANDSHAKES} opened")
    })
}

fn sizes(make: Make, sizes: &[u32]) -> Result<(), String> {
    let mut duel = Duel::connected(make, 2, AcceptorDtls::Passive, LOSSLESS)?;
    for (lane, from) in Lane::ALL
        .into_iter()
        .flat_map(|lane| SIDES.map(|from| (lane, from)))
    {
        for &size in sizes {
            let packet: Bytes = (0..size).map(|i| i.to_le_bytes()[0]).collect();
            let sent = duel.send(from, lane, &packet);
            duel.run(Duration::from_secs(3), |duel| {
                duel.packets[1 - from]
                    .iter()
                    .any(|(_, _, got)| got.len() == packet.len())
            });
            let whole = sent && duel.got(1 - from, lane) == [packet];
            ensure(whole, || format!("{size} bytes on {lane:?} from {from}"))?;
            duel.packets[1 - from].clear();
        }
    }
    ensure(duel.longest <= DATAGRAM_BYTES_MAX, || {
        format!("a datagram of {} bytes", duel.longest)
    })
}

/// Numbered packets, one every 10 ms; the numbers as they arrive, and how late.
fn stream(duel: &mut Duel, from: usize, lane: Lane, count: u32) -> Vec<(u32, Duration)> {
    let mut sent = Vec::new();
    for number in 0..count {
        sent.push(duel.now);
        let mut packet = number.to_be_bytes().to_vec();
        packet.resize(100, 0);
        duel.send(from, lane, &packet.into());
        duel.run(Duration::from_millis(10), |_| false);
    }
    duel.run(Duration::from_secs(20), |duel| {
        lane == Lane::Reliable && duel.packets[1 - from].len() == sent.len()
    });
    let packets = duel.packets[1 - from].iter();
    packets
        .map(|(at, _, bytes)| {
            let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            (number, *at - sent[usize::try_from(number).unwrap()])
        })
        .collect()
}

fn reliable(make: Make) -> Result<(), String> {
    let impair = Impair {
        loss: 0.10,
        jitter: Duration::from_millis(20),
        duplicate: 0.05,
        ..LOSSLESS
    };
    for from in SIDES {
        // The handshake has cases of its own.
        let mut duel = Duel::connected(make, 5, AcceptorDtls::Passive, LOSSLESS)?;
        duel.impair = impair;
        let numbers: Vec<u32> = stream(&mut duel, from, Lane::Reliable, 500)
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        let expected: Vec<u32> = (0..500).collect();
        ensure(numbers == expected, || {
            format!("{} of 500 from {from}", numbers.len())
        })?;
    }
    Ok(())
}

fn unreliable(make: Make, from: usize) -> Result<(), String> {
    let mut duel = Duel::connected(make, 3, AcceptorDtls::Passive, LOSSLESS)?;
    duel.impair = Impair::loss(0.05);
    let arrived = stream(&mut duel, from, Lane::Unreliable, 1000);
    let late = arrived
        .iter()
        .map(|(_, late)| *late)
        .max()
        .unwrap_or_default();
    ensure(late < LOSSLESS.delay + Duration::from_millis(5), || {
        format!("one was {late:?} on the way")
    })?;
    // Some were lost and stayed lost: 5 %, within chance.
    ensure((920..=975).contains(&arrived.len()), || {
        format!("{} of 1000", arrived.len())
    })
}

fn tail(make: Make) -> Result<(), String> {
    for from in SIDES {
        let mut duel = Duel::connected(make, 1, AcceptorDtls::Passive, LOSSLESS)?;
        stream(&mut duel, from, Lane::Reliable, 20);
        duel.packets[1 - from].clear();
        let mut left = 1;
        duel.lose = Box::new(move |side, datagram| {
            let lost = side == from && datagram[0] == APPLICATION_DATA && left > 0;
            left -= i32::from(lost);
            lost
        });
        let sent = duel.now;
        duel.send(from, Lane::Reliable, &Bytes::from_static(b"last"));
        duel.run(Duration::from_secs(10), |duel| {
            !duel.packets[1 - from].is_empty()
        });
        let took = duel.now - sent;
        ensure(took <= Duration::from_millis(500), || {
            format!("{took:?} from {from}")
        })?;
    }
    Ok(())
}

/// Sends as many packets of 1,000 bytes as asked for, waiting where the engine takes no more for so
/// long; returns how many it took.
fn push(duel: &mut Duel, from: usize, count: u32, patience: Duration) -> u32 {
    for number in 0..count {
        let mut packet = number.to_be_bytes().to_vec();
        packet.resize(1000, 0);
        let packet = Bytes::from(packet);
        let give_up = duel.now + patience;
        while !duel.send(from, Lane::Reliable, &packet) {
            if duel.now >= give_up {
                return number;
            }
            duel.run(Duration::from_millis(10), |_| false);
        }
    }
    count
}

fn in_order(packets: &[Bytes]) -> bool {
    let numbered = (0_u32..).zip(packets);
    numbered
        .into_iter()
        .all(|(n, packet)| packet[..4] == n.to_be_bytes())
}

fn deep_queue(make: Make) -> Result<(), String> {
    for from in SIDES {
        let mut duel = Duel::connected(make, 7, AcceptorDtls::Passive, LOSSLESS)?;
        let pushed = push(&mut duel, from, 2000, Duration::from_secs(5));
        duel.run(Duration::from_secs(20), |duel| {
            duel.packets[1 - from].len() == 2000
        });
        let got = duel.got(1 - from, Lane::Reliable);
        ensure(
            pushed == 2000 && got.len() == 2000 && in_order(&got),
            || format!("{pushed} taken, {} arrived, from {from}", got.len()),
        )?;
    }
    Ok(())
}

fn shut_window(make: Make) -> Result<(), String> {
    let mut duel = Duel::connected(make, 8, AcceptorDtls::Passive, LOSSLESS)?;
    duel.sides[DIALER].pause(duel.now, true);
    let pushed = push(&mut duel, ACCEPTOR, 5000, Duration::from_secs(2));
    ensure(pushed < 5000, || {
        "it took everything, and never stopped".to_owned()
    })?;
    duel.sides[DIALER].pause(duel.now, false);
    let expected = usize::try_from(pushed).unwrap();
    duel.run(Duration::from_secs(60), |duel| {
        duel.packets[DIALER].len() == expected
    });
    let got = duel.got(DIALER, Lane::Reliable);
    ensure(got.len() == expected && in_order(&got), || {
        format!("{} of {expected} arrived", got.len())
    })
}

fn closes(make: Make) -> Result<(), String> {
    for from in SIDES {
        let mut duel = Duel::connected(make, 9, AcceptorDtls::Passive, LOSSLESS)?;
        duel.sides[from].close(duel.now);
        duel.run(Duration::from_millis(500), |duel| duel.closed[1 - from]);
        ensure(duel.closed[1 - from], || {
            format!("{from} closed, and nobody knew")
        })?;
    }
    Ok(())
}

fn memory(make: Make) -> Result<(), String> {
    // What is made once for a process is made here.
    drop(Duel::connected(make, 10, AcceptorDtls::Passive, LOSSLESS)?);
    let mut duel = None;
    let idle = allocation_counter::measure(|| {
        duel = Duel::connected(make, 10, AcceptorDtls::Passive, LOSSLESS).ok();
    });
    let mut duel = duel.ok_or("it did not open")?;
    let burst = allocation_counter::measure(|| {
        push(&mut duel, ACCEPTOR, 2000, Duration::from_secs(5));
        duel.run(Duration::from_secs(20), |duel| {
            duel.packets[DIALER].len() == 2000
        });
        duel.packets = Default::default();
        duel.run(Duration::from_secs(2), |_| false);
    });
    ensure(burst.bytes_current < BURST_BYTES_MAX, || {
        format!("{} KiB of a burst are kept", burst.bytes_current / 1024)
    })?;
    let gone = allocation_counter::measure(|| drop(duel));
    let left = idle.bytes_current + burst.bytes_current + gone.bytes_current;
    ensure(left < 1024, || format!("{left} bytes of both are kept"))
}

/// Around what a datagram carries, and the largest.
const SIZES: [u32; 8] = [1, 2, 3, 1131, 1132, 1133, 16 * 1024, 65_535];

/// At 5 % loss each way, in each DTLS role.
const HANDSHAKES: u64 = 40;

/// Of a DTLS record.
const APPLICATION_DATA: u8 = 23;

/// Tables that have grown, of both sides.
const BURST_BYTES_MAX: i64 = 192 * 1024;

/// What IPv6 carries everywhere, less its header and that of UDP.
const DATAGRAM_BYTES_MAX: usize = 1280 - 48;
