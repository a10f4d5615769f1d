//! The Rust client of the broker.
//!
//! [`session`] is the pure state machine: what to say to the coordinator and to the communication
//! server, when, and what to do when either is lost. It has no sockets and no clock; the load
//! tester and the simulation drive the same one.
//!
//! [`Client`] is that session with sockets, on tokio: a UDP socket of its own and a WebSocket to
//! the coordinator. It reconnects for ever, until it is closed or told something for good.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use client::{Client, Config, Event};
//! use proto::Lane;
//!
//! let (client, mut events) = Client::connect(&Config::new("ws://127.0.0.1:9090".parse()?))?;
//! client.subscribe(&["plaza/chat"]).await?;
//! client.publish("plaza/chat", Lane::Reliable, "hello").await?;
//! while let Some(event) = events.recv().await {
//!     if let Event::Message(message) = event {
//!         println!("{}: {} bytes", message.from_alias, message.body.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod config;
mod credentials;
pub mod driver;
mod endpoint;
mod events;
pub mod session;
mod signalling;

pub use client::{Client, SubscribeError};
pub use config::{Config, EndpointConfig};
pub use credentials::{Credentials, TokenProvider};
pub use endpoint::{ConnectError, Endpoint};
pub use events::{Events, EventsConfig};
pub use proto::{Lane, Reason};
pub use session::{
    BackoffConfig, Event, Identity, Message, Offline, Overflow, PublishError, Published,
    RequestError, RequestRefused, ServerError, State, Stats,
};
pub use shard::{Impair, kernel_drops};
pub use signalling::{BadUrl, Timeouts};
