//! The UDP socket: read with `recvmmsg` and GRO, written with `sendmmsg`.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::SocketAddr,
};

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};
use tokio::{io::Interest, net::UdpSocket};

/// A bound socket, its receive buffers, and the datagrams that wait to be sent.
#[derive(Debug)]
pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: Vec<Vec<u8>>,
    metas: Vec<RecvMeta>,
    batch: Batch,
}

/// Datagrams back to back.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    entries: Vec<(SocketAddr, usize)>,
}

impl Batch {
    pub(crate) fn push(&mut self, remote: SocketAddr, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.entries.push((remote, bytes.len()));
    }
}

impl Socket {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(addr)?;
        let options = socket2::SockRef::from(&socket);
        options.set_recv_buffer_size(SOCKET_BYTES)?;
        options.set_send_buffer_size(SOCKET_BYTES)?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let io = UdpSocket::from_std(socket)?;
        Ok(Self {
            local: io.local_addr()?,
            io,
            state,
            buffers: vec![vec![0; BUFFER_BYTES]; quinn_udp::BATCH_SIZE],
            metas: vec![RecvMeta::default(); quinn_udp::BATCH_SIZE],
            batch: Batch::default(),
        })
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// One call; `false` when the socket had less than it can take.
    pub(crate) fn receive(&mut self, mut sink: impl FnMut(SocketAddr, &[u8])) -> bool {
        let mut slices: Vec<_> = self
            .buffers
            .iter_mut()
            .map(|b| IoSliceMut::new(b))
            .collect();
        let received = self.io.try_io(Interest::READABLE, || {
            let socket = UdpSockRef::from(&self.io);
            self.state.recv(socket, &mut slices, &mut self.metas)
        });
        let filled = received.unwrap_or(0);
        for (buffer, meta) in self.buffers.iter().zip(&self.metas).take(filled) {
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            for datagram in bytes.chunks(meta.stride.max(1)) {
                sink(meta.addr, datagram);
            }
        }
        filled == self.metas.len()
    }

    /// Writes the batch; what the system does not take is lost, as in any full queue.
    pub(crate) async fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let mut rest = batch.entries.as_slice();
        let mut bytes = batch.bytes.as_slice();
        while !rest.is_empty() {
            let some = rest.get(..SENDS_MAX).unwrap_or(rest);
            match self
                .io
                .try_io(Interest::WRITABLE, || send(&self.io, some, bytes))
            {
                Ok(sent) => {
                    let length: usize = some.iter().take(sent).map(|(_, len)| len).sum();
                    bytes = bytes.get(length..).unwrap_or_default();
                    rest = rest.get(sent..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.io.writable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
        self.batch = batch;
        self.batch.bytes.clear();
        self.batch.entries.clear();
    }
}

fn send(io: &UdpSocket, entries: &[(SocketAddr, usize)], bytes: &[u8]) -> io::Result<usize> {
    let mut rest = bytes;
    let slices: Vec<[IoSlice<'_>; 1]> = entries
        .iter()
        .map(|(_, len)| {
            let (datagram, after) = rest.split_at(*len);
            rest = after;
            [IoSlice::new(datagram)]
        })
        .collect();
    let addrs: Vec<SocketAddrAny> = entries.iter().map(|(addr, _)| (*addr).into()).collect();
    let mut controls: Vec<_> = entries
        .iter()
        .map(|_| SendAncillaryBuffer::default())
        .collect();
    let parts = addrs.iter().zip(&slices).zip(&mut controls);
    let mut headers: Vec<MMsgHdr<'_>> = parts
        .map(|((addr, slice), control)| MMsgHdr::new_with_addr(addr, slice, control))
        .collect();
    Ok(rustix::net::sendmmsg(
        io,
        &mut headers,
        SendFlags::DONTWAIT,
    )?)
}

const SOCKET_BYTES: usize = 4 * 1024 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;
const SENDS_MAX: usize = 128;
