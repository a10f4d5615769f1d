//! The communication server as a pure state machine: peers, topics, router, mesh, limits.
//!
//! It knows peers with one or two lanes and nothing about the transport below them; sockets, time,
//! randomness and authentication are its owner's. The owner gives it everything that happens through
//! [`Broker::handle_input`] and then does everything that [`Broker::poll_output`] says, until `None`.
//!
//! ```
//! use std::time::Instant;
//! use commserver_core::{Broker, Config, Input};
//!
//! let now = Instant::now();
//! let mut broker = Broker::new(now, Config::new(7, 1));
//! broker.handle_input(now, Input::UplinkOpened);
//! while let Some(output) = broker.poll_output() {
//!     println!("{output:?}");
//! }
//! assert_eq!(broker.next_deadline(), None);
//! ```

mod broker;
mod config;
mod grants;
mod hashing;
mod hold;
mod interest;
mod io;
mod load;
mod mesh;
mod peer;
mod peers;
mod router;
mod stats;
mod topic_rate;
mod topics;
mod uplink;

pub use broker::Broker;
pub use config::{Config, Drain, Limits, Timings};
pub use io::{
    Delivery, Identity, Input, Output, Pair, PeerId, Recipients, ResumeToken, SignalKind,
};
pub use stats::{Drop, GoneHint, Stats};
