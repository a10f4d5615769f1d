//! What can be due.

use super::{
    engines, faults,
    node::{EngineKey, Life, SocketKey},
    sockets,
};

/// Something that is due at some moment.
#[derive(Debug)]
pub(super) enum Event {
    /// A core's deadline.
    Wake(Life),
    /// A dial reaches the coordinator.
    Dialed(SocketKey),
    /// Something reaches an end of a socket.
    Socket(SocketKey, sockets::Item),
    /// Something happens at an engine.
    Engine(EngineKey, engines::Step),
    /// An authenticator has made up its mind.
    Verdict(Life, commserver_core::PeerId, EngineKey),
    /// A commserver tries the coordinator again.
    Redial(Life),
    /// A client comes.
    Join(usize),
    /// Some client does something.
    Work,
    /// Something breaks, whatever the dice say.
    Break,
    /// This breaks.
    Strike(super::plan::Fault),
    /// Something is whole again.
    Mend(faults::Mend),
    /// It is time to say whether a publication reached everybody.
    Judge(super::publication::PublicationId),
    /// Work is over: everything is healed.
    Heal,
    /// Everybody must be where they belong, and sends a probe.
    Probe,
    /// The probes must have arrived, and everybody leaves.
    Leave,
    /// The end.
    End,
}
