//! What inputs and outputs look like in a log: bytes by their number, since there are tokens,
//! addresses and other people's words among them.

use std::fmt::{self, Debug, Formatter};

use bytes::Bytes;

use super::{Input, Output};

impl Debug for Input {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => show(f, "Tick", &[]),
            Self::Token { request, result } => show(f, "Token", &[request, result]),
            Self::SignallingOpened { socket } => show(f, "SignallingOpened", &[socket]),
            Self::SignallingClosed { socket, reason } => {
                show(f, "SignallingClosed", &[socket, reason])
            }
            Self::Signal { socket, bytes } => show(f, "Signal", &[socket, &Size(bytes)]),
            Self::LocalSignal { peer, kind, data } => {
                show(f, "LocalSignal", &[peer, kind, &Size(data)])
            }
            Self::LaneOpened { peer, lane } => show(f, "LaneOpened", &[peer, lane]),
            Self::Packet { peer, lane, bytes } => show(f, "Packet", &[peer, lane, &Size(bytes)]),
            Self::Congested { peer } => show(f, "Congested", &[peer]),
            Self::Writable { peer } => show(f, "Writable", &[peer]),
            Self::PeerClosed { peer, reason } => show(f, "PeerClosed", &[peer, reason]),
        }
    }
}

impl Debug for Output {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::FetchToken { request } => show(f, "FetchToken", &[request]),
            Self::Dial {
                socket,
                token,
                resume,
            } => show(f, "Dial", &[socket, token, resume]),
            Self::HangUp { socket } => show(f, "HangUp", &[socket]),
            Self::Signal { socket, bytes } => show(f, "Signal", &[socket, &Size(bytes)]),
            Self::OpenPeer { peer } => show(f, "OpenPeer", &[peer]),
            Self::RemoteSignal { peer, kind, data } => {
                show(f, "RemoteSignal", &[peer, kind, &Size(data)])
            }
            Self::ClosePeer { peer } => show(f, "ClosePeer", &[peer]),
            Self::Send { peer, lane, frame } => show(f, "Send", &[peer, lane, &Size(frame)]),
            Self::Event(event) => show(f, "Event", &[event]),
        }
    }
}

fn show(f: &mut Formatter<'_>, name: &str, fields: &[&dyn Debug]) -> fmt::Result {
    let mut tuple = f.debug_tuple(name);
    for field in fields {
        tuple.field(field);
    }
    tuple.finish()
}

struct Size<'a>(&'a Bytes);

impl Debug for Size<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
