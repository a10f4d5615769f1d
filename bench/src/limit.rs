//! What this machine could do at best: no WebRTC, no routing, only what nobody who encrypts
//! datagrams can do without. Each payload is sealed with AES-128-GCM for each recipient, as many
//! datagrams as there are recipients go out in one sendmmsg, and half as many small ones, the
//! acknowledgements, are read back. What counts is the CPU time of the thread that does it; another
//! thread, on the load's core, reads and answers.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut, Write as _},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clap::Args;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg},
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

use crate::{cores, usage::float};

/// What `bench limit` is told.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Sockets that receive.
    #[arg(long)]
    recipients: usize,
    /// Bytes to seal for each.
    #[arg(long)]
    payload: usize,
    /// How long.
    #[arg(long)]
    seconds: f64,
    /// Core of the sender.
    #[arg(long, value_delimiter = ',')]
    server_cores: Vec<usize>,
    /// Cores of the readers.
    #[arg(long, value_delimiter = ',')]
    load_cores: Vec<usize>,
}

/// What it says: one JSON object on standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limited {
    /// Datagrams sent.
    pub(crate) packets: u64,
    /// Acknowledgements read.
    pub(crate) acknowledgements: u64,
    /// CPU time of the sending thread.
    pub(crate) cpu_s: f64,
    pub(crate) seconds: f64,
}

impl Limited {
    pub(crate) fn packets_per_cpu_s(&self) -> f64 {
        float(self.packets) / self.cpu_s
    }
}

impl Limit {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let server = bind()?;
        let to = server.local_addr()?;
        let sockets: Vec<UdpSocket> = (0..self.recipients)
            .map(|_| bind())
            .collect::<Result<_, _>>()?;
        let recipients = sockets.iter().map(UdpSocket::local_addr);
        let recipients: Vec<SocketAddr> = recipients.collect::<Result<_, _>>()?;
        let stop = AtomicBool::new(false);
        let limited = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                cores::pin(&self.load_cores)?;
                answer(&sockets, to, &stop)
            });
            let sent =
                cores::pin(&self.server_cores).and_then(|()| self.send(&server, &recipients));
            stop.store(true, Relaxed);
            match reader.join() {
                Ok(answered) => answered?,
                Err(_) => anyhow::bail!("the reader panicked"),
            }
            sent
        })?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&limited)?).context("standard output")
    }

    fn send(&self, socket: &UdpSocket, recipients: &[SocketAddr]) -> anyhow::Result<Limited> {
        let mut sender = Sender::new(socket, self.payload, recipients)?;
        let start = Instant::now();
        let cpu_s = thread_cpu_s();
        let duration = Duration::from_secs_f64(self.seconds);
        while start.elapsed() < duration {
            sender.round()?;
        }
        Ok(Limited {
            packets: sender.packets,
            acknowledgements: sender.acknowledgements,
            cpu_s: thread_cpu_s() - cpu_s,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// The thread that is measured.
struct Sender<'a> {
    socket: &'a UdpSocket,
    state: UdpSocketState,
    key: LessSafeKey,
    payload: Vec<u8>,
    recipients: &'a [SocketAddr],
    addrs: Vec<SocketAddrAny>,
    /// One sealed datagram for each recipient, reused.
    sealed: Vec<Vec<u8>>,
    received: Vec<u8>,
    packets: u64,
    acknowledgements: u64,
    /// Acknowledgements that are still to come.
    awaited: u64,
}

impl<'a> Sender<'a> {
    fn new(
        socket: &'a UdpSocket,
        payload: usize,
        recipients: &'a [SocketAddr],
    ) -> anyhow::Result<Self> {
        let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).context("a key")?;
        Ok(Self {
            socket,
            state: UdpSocketState::new(UdpSockRef::from(socket))?,
            key: LessSafeKey::new(key),
            payload: vec![42; payload],
            recipients,
            addrs: recipients.iter().map(|addr| (*addr).into()).collect(),
            sealed: vec![Vec::with_capacity(payload + OVERHEAD_BYTES); recipients.len()],
            received: vec![0; BATCH_SIZE * RECEIVE_BYTES],
            packets: 0,
            acknowledgements: 0,
            awaited: 0,
        })
    }

    /// One publication to everybody, and whatever has been acknowledged meanwhile.
    fn round(&mut self) -> anyhow::Result<()> {
        self.seal()?;
        self.send()?;
        self.awaited += count(self.recipients.len()) / 2;
        self.receive()?;
        // As many rounds under way as the recipients' buffers hold with certainty.
        let window = ROUNDS_UNDER_WAY * count(self.recipients.len()) / 2;
        while self.awaited > window.max(1) {
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: PATIENCE_NS,
            };
            let mut fds = [PollFd::new(self.socket, PollFlags::IN)];
            if poll(&mut fds, Some(&timeout))? == 0 {
                // Something was dropped after all: go on with a new window.
                self.awaited = 0;
            }
            self.receive()?;
        }
        Ok(())
    }

    /// As DTLS 1.2 does: a record header and an explicit nonce before, a tag behind.
    fn seal(&mut self) -> anyhow::Result<()> {
        for (nth, datagram) in (self.packets..).zip(&mut self.sealed) {
            let mut nonce = [0; 12];
            if let Some(explicit) = nonce.last_chunk_mut() {
                *explicit = nth.to_be_bytes();
            }
            datagram.clear();
            datagram.extend_from_slice(&[23; HEADER_BYTES]);
            datagram.extend_from_slice(&self.payload);
            let (head, body) = datagram.split_at_mut(HEADER_BYTES);
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = self
                .key
                .seal_in_place_separate_tag(nonce, Aad::from(&head), body)
                .context("seal")?;
            datagram.extend_from_slice(tag.as_ref());
        }
        Ok(())
    }

    fn send(&mut self) -> anyhow::Result<()> {
        let slices: Vec<_> = self
            .sealed
            .iter()
            .map(|sealed| [IoSlice::new(sealed)])
            .collect();
        let mut controls: Vec<_> = slices
            .iter()
            .map(|_| SendAncillaryBuffer::default())
            .collect();
        let parts = self.addrs.iter().zip(&slices).zip(&mut controls);
        let mut headers: VecDeque<_> = parts
            .map(|((addr, slice), control)| MMsgHdr::new_with_addr(addr, slice, control))
            .collect();
        while !headers.is_empty() {
            let sent = sendmmsg(self.socket, headers.make_contiguous(), SendFlags::empty())?;
            headers.drain(..sent);
            self.packets += count(sent);
        }
        Ok(())
    }

    /// Everything that is there.
    fn receive(&mut self) -> anyhow::Result<()> {
        loop {
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let mut buffers: Vec<_> = self
                .received
                .chunks_mut(RECEIVE_BYTES)
                .map(IoSliceMut::new)
                .collect();
            let socket = UdpSockRef::from(self.socket);
            let filled = match self.state.recv(socket, &mut buffers, &mut metas) {
                Ok(filled) => filled,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for meta in metas.iter().take(filled) {
                let datagrams = count(meta.len.div_ceil(meta.stride.max(1)));
                self.acknowledgements += datagrams;
                self.awaited = self.awaited.saturating_sub(datagrams);
            }
            if filled < BATCH_SIZE {
                return Ok(());
            }
        }
    }
}

/// The load's side: reads everything, and answers every second datagram of a socket.
fn answer(sockets: &[UdpSocket], to: SocketAddr, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut unanswered = vec![0_u64; sockets.len()];
    let mut buffer = vec![0; 2 * 1024];
    while !stop.load(Relaxed) {
        let mut idle = true;
        for (socket, unanswered) in sockets.iter().zip(&mut unanswered) {
            while socket.recv(&mut buffer).is_ok() {
                idle = false;
                *unanswered += 1;
                if *unanswered == 2 {
                    *unanswered = 0;
                    // A full buffer on the other side: the sender notices what is missing.
                    let _sent = socket.send_to(&[1; ACKNOWLEDGEMENT_BYTES], to);
                }
            }
        }
        if idle {
            thread::sleep(Duration::from_micros(20));
        }
    }
    Ok(())
}

fn bind() -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("a socket")?;
    socket.set_nonblocking(true)?;
    let options = socket2::SockRef::from(&socket);
    // What is granted is enough for the rounds under way, see below.
    let _granted = options.set_recv_buffer_size(BUFFER_BYTES);
    let _granted = options.set_send_buffer_size(BUFFER_BYTES);
    Ok(socket)
}

fn thread_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    );
    whole.as_secs_f64()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Header and explicit nonce of a DTLS 1.2 record.
const HEADER_BYTES: usize = 13 + 8;

/// With the tag.
const OVERHEAD_BYTES: usize = HEADER_BYTES + 16;

/// About a SACK in a DTLS record.
const ACKNOWLEDGEMENT_BYTES: usize = 65;

/// 8 datagrams of 1 KiB for each recipient: the smallest default of Linux holds ten times that.
const ROUNDS_UNDER_WAY: u64 = 8;

const PATIENCE_NS: i64 = 20_000_000;

const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Of one buffer of a receive call; small datagrams that the kernel has joined fit.
const RECEIVE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipient_gets_a_sealed_datagram_and_half_are_acknowledged() {
        let server = bind().expect("a socket");
        let sockets: Vec<_> = (0..4).map(|_| bind().expect("a socket")).collect();
        let addrs: Vec<_> = sockets
            .iter()
            .map(|socket| socket.local_addr().expect("an address"))
            .collect();
        let to = server.local_addr().expect("an address");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| answer(&sockets, to, &stop));
            let mut sender = Sender::new(&server, 100, &addrs).expect("a sender");
            // More rounds than may be under way: the window opens by acknowledgements.
            for _ in 0..40 {
                sender.round().expect("a round");
            }
            assert_eq!(sender.packets, 160);
            assert!(sender.acknowledgements >= (40 - ROUNDS_UNDER_WAY) * 2);
            assert!(sender.acknowledgements <= 80);
            let sealed = sender.sealed.first().expect("a datagram");
            assert_eq!(sealed.len(), 100 + OVERHEAD_BYTES);
            assert!(!sealed.windows(8).any(|bytes| bytes == [42; 8]), "sealed");
            stop.store(true, Relaxed);
        });
    }

    #[test]
    fn what_it_says_is_what_the_driver_reads() {
        let limited = Limited {
            packets: 300,
            acknowledgements: 150,
            cpu_s: 1.5,
            seconds: 2.0,
        };
        let text = serde_json::to_string(&limited).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Limited>(&text).expect("JSON"),
            limited
        );
        assert!((limited.packets_per_cpu_s() - 200.0).abs() < 1e-9);
    }
}
