//! The UDP socket: bound with large buffers, read in batches with GRO, written in runs with GSO,
//! and always answering from the address that was spoken to. `quinn-udp` does the system calls.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use smallvec::SmallVec;
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::{io::Interest, net::UdpSocket};

use crate::batch::Run;

mod mmsg;
#[cfg(test)]
mod refusals;
mod sources;

use sources::Sources;

/// A bound socket with its receive buffers.
#[derive(Debug)]
pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    sources: Sources,
    /// One block, cut into as many buffers as one receive call fills.
    buffer: Box<[u8]>,
    metas: Box<[RecvMeta]>,
    #[cfg(test)]
    pub(crate) refusals: refusals::Refusals,
}

/// What one send call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) datagrams: usize,
    pub(crate) bytes: usize,
}

/// A datagram as it came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram<'a> {
    /// Our address that it was sent to.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) bytes: &'a [u8],
}

impl Socket {
    /// Binds; needs a tokio runtime with I/O.
    pub(crate) fn bind(
        listen: SocketAddr,
        buffer_bytes: usize,
        receive_buffers: usize,
    ) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(listen),
            Type::DGRAM.nonblocking(),
            Some(Protocol::UDP),
        )?;
        if listen.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            socket.set_only_v6(false)?;
        }
        if buffer_bytes > 0 {
            ask_for_buffers(&socket, buffer_bytes)?;
        }
        socket.bind(&listen.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let io = UdpSocket::from_std(socket.into())?;
        let local = io.local_addr()?;
        let receive_buffers = receive_buffers.clamp(1, quinn_udp::BATCH_SIZE);
        Ok(Self {
            io,
            state,
            local,
            sources: Sources::default(),
            buffer: vec![0; receive_buffers * RECEIVE_BUFFER_BYTES].into(),
            metas: vec![RecvMeta::default(); receive_buffers].into(),
            #[cfg(test)]
            refusals: refusals::Refusals::default(),
        })
    }

    /// The bound address.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Granted receive and send buffers, bytes. Linux reports twice the usable size; this is it.
    pub(crate) fn granted_buffers(&self) -> (usize, usize) {
        let socket = SockRef::from(&self.io);
        let halved = |size: io::Result<usize>| size.unwrap_or(0) / 2;
        (
            halved(socket.recv_buffer_size()),
            halved(socket.send_buffer_size()),
        )
    }

    /// The socket's number in the kernel's tables.
    pub(crate) fn inode(&self) -> u64 {
        crate::kernel::socket_inode(&self.io)
    }

    /// How many buffers one receive call can fill.
    pub(crate) fn receive_buffers(&self) -> usize {
        self.metas.len()
    }

    /// Resolves when a read may succeed.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Resolves when a write may succeed.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// One receive call. Returns how many of the buffers are filled; [`Socket::received`] reads them.
    pub(crate) fn receive(&mut self) -> io::Result<usize> {
        let Self {
            io,
            state,
            buffer,
            metas,
            ..
        } = self;
        let mut slices: SmallVec<[IoSliceMut<'_>; 32]> = buffer
            .chunks_mut(RECEIVE_BUFFER_BYTES)
            .map(IoSliceMut::new)
            .collect();
        let filled = io.try_io(Interest::READABLE, || {
            state.recv(UdpSockRef::from(&*io), &mut slices, metas)
        })?;
        if filled < metas.len() {
            // It is empty, and is not asked again before the system says that something has come.
            let empty = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            drop(io.try_io(Interest::READABLE, empty));
        }
        Ok(filled)
    }

    /// The datagrams of the first `filled` buffers of the last [`Socket::receive`].
    pub(crate) fn received(&self, filled: usize) -> impl Iterator<Item = Datagram<'_>> {
        let buffers = self.buffer.chunks(RECEIVE_BUFFER_BYTES);
        let filled = buffers.zip(self.metas.iter()).take(filled);
        filled.flat_map(|(buffer, meta)| {
            let ip = meta.dst_ip.map_or(self.local.ip(), |ip| ip.to_canonical());
            let local = SocketAddr::new(ip, self.local.port());
            let remote = canonical(meta.addr);
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            // One of nothing is a datagram too, and counted.
            let empty = bytes.is_empty().then_some(bytes);
            let all = bytes.chunks(meta.stride.max(1)).chain(empty);
            all.map(move |bytes| Datagram {
                local,
                remote,
                bytes,
            })
        })
    }

    /// How many datagrams of one size to one peer may go in one call, now.
    pub(crate) fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends datagrams of one size (the last may be shorter) to one peer.
    pub(crate) fn send(&self, run: &Run<'_>) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.mapped(run.remote),
            ecn: None,
            contents: run.bytes,
            segment_size: Some(run.segment_bytes),
            src_ip: self.source(run.local),
        };
        self.io.try_io(Interest::WRITABLE, || {
            #[cfg(test)]
            self.refusals.next()?;
            self.state.try_send(UdpSockRef::from(&self.io), &transmit)
        })
    }

    /// Sends datagrams to several peers, as many as one call takes and the first of them at least.
    pub(crate) fn send_singles<'a>(
        &mut self,
        runs: impl Iterator<Item = Run<'a>>,
    ) -> io::Result<Written> {
        let mut runs = runs.peekable();
        let mut batch: SmallVec<[(SocketAddr, &[u8]); SENDS_MAX]> = SmallVec::new();
        while batch.len() < SENDS_MAX
            && let Some(run) = runs.next_if(|run| self.is_plain(run))
        {
            batch.push((self.mapped(run.remote), run.bytes));
        }
        match runs.next() {
            Some(run) if batch.is_empty() => self.send(&run).map(|()| Written {
                datagrams: 1,
                bytes: run.bytes.len(),
            }),
            _ => self.io.try_io(Interest::WRITABLE, || {
                #[cfg(test)]
                self.refusals.next()?;
                let datagrams = mmsg::send(&self.io, &batch)?;
                let bytes = batch.iter().take(datagrams).map(|(_, bytes)| bytes.len());
                Ok(Written {
                    datagrams,
                    bytes: bytes.sum(),
                })
            }),
        }
    }

    /// Whether a datagram needs nothing said about its source: the call for many cannot.
    fn is_plain(&mut self, run: &Run<'_>) -> bool {
        if !mmsg::SUPPORTED {
            return false;
        }
        match self.source(run.local) {
            None => true,
            Some(_) => self.sources.chosen(run.remote.ip()) == Some(run.local.ip()),
        }
    }

    /// A socket for both families speaks of IPv4 addresses in their mapped form.
    fn mapped(&self, addr: SocketAddr) -> SocketAddr {
        match (self.local, addr.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(ip)) => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port())
            }
            _ => addr,
        }
    }

    /// Which source address to ask for; a socket bound to one needs no telling.
    fn source(&self, local: SocketAddr) -> Option<IpAddr> {
        if !self.local.ip().is_unspecified() || local.ip().is_unspecified() {
            return None;
        }
        Some(self.mapped(local).ip())
    }
}

/// What is above the system's limit is cut without an error, unless the process may pass over it:
/// stats tell what was got.
fn ask_for_buffers(socket: &socket2::Socket, bytes: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        let receive = sockopt::set_socket_recv_buffer_size_force(socket, bytes);
        let send = sockopt::set_socket_send_buffer_size_force(socket, bytes);
        if receive.is_ok() && send.is_ok() {
            return Ok(());
        }
    }
    socket.set_recv_buffer_size(bytes)?;
    socket.set_send_buffer_size(bytes)
}

/// IPv4 in its own form, as candidates and the engine have it; no flow label or scope.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// GRO hands over up to 64 KiB at once.
const RECEIVE_BUFFER_BYTES: usize = 65_536;

/// Most datagrams in a call for many.
const SENDS_MAX: usize = 64;
