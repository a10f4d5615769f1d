//! The Rust client of the broker.
//!
//! [`Client`] subscribes to topics and publishes on them, through a communication server that the
//! coordinator assigns. It owns a UDP socket and a WebSocket, runs on tokio, and comes back by itself
//! for ever, until it is closed or told something for good.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use client::{Client, Config, Event, Lane};
//!
//! let (client, mut events) = Client::connect(&Config::new("ws://127.0.0.1:9090".parse()?))?;
//! client.subscribe(&["plaza/chat"]).await?;
//! client.publish("plaza/chat", Lane::Reliable, "hello").await?;
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::Message(message) => {
//!             println!("{}: {} bytes", message.from_alias, message.body.len());
//!         }
//!         Event::Connected { alias, .. } => println!("here, as {alias}"),
//!         Event::Disconnected { reason } => println!("away: {reason}"),
//!         Event::Stopped { reason } => println!("over: {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Lanes
//!
//! [`Lane::Reliable`] keeps one publisher's order across all its topics and loses nothing while both
//! stay connected. [`Lane::Unreliable`] never waits for what is lost, and drops rather than queues:
//! the newest matters. [`Message::seq`] counts per publisher, topic and lane, and tells of gaps.
//!
//! # Who we are
//!
//! [`Config::with_token`] shows a token to the coordinator and to the server. Tokens that run out come
//! from [`Config::with_token_provider`]. [`Client::resume_token`] is another thing: it proves nothing
//! but that this client had its alias before, and gives it back, also to a later program.
//!
//! # When something is lost
//!
//! | what | what happens | what the program is told |
//! |---|---|---|
//! | the coordinator | the server serves on; the WebSocket is dialed again, and the alias kept | nothing |
//! | the server | another one, by way of the coordinator; the first try comes within 500 ms, later ones back off to 15 s | [`Event::Disconnected`], [`Event::Retrying`], [`Event::Connected`] |
//! | the server is about to go (a drain) | another one, as soon as there is one, and the old one has all that was published | [`Event::Disconnected`] with [`Reason::ShuttingDown`], [`Event::Connected`] |
//! | all servers are full | another try later, not before the time that they ask for | [`Event::Retrying`] with [`Reason::ServerFull`] |
//! | the alias: another program shows the same resume token | a new alias | [`Event::Disconnected`] with [`Reason::Replaced`], [`Event::Connected`] |
//! | the token is wrong, the program is not allowed in | the end | [`Event::Stopped`] |
//!
//! Which reasons are for good and which pass, [`Reason::retryable`] says; `docs/PROTOCOL.md` lists
//! them. Subscriptions outlive all of it but the end: the next server is told of all at once. Reliable
//! publications wait meanwhile, in order, as [`Config::offline`] says: 1,024 of them and 1 MiB by
//! default, and then new ones are refused. Unreliable ones are dropped and counted.
//! [`Client::publish`] says which became of each, [`Client::flush`] whether the server has them all.
//! What was under way when a server is lost may be lost with it; nothing is received in between.
//!
//! A program that does not read its [`Events`] holds up nobody: the oldest unreliable messages are
//! dropped, and when there is no room for something that may not be lost, the client ends with
//! [`Reason::SlowConsumer`].
//!
//! # Without sockets
//!
//! [`session`] is the state machine behind all of this, pure: what to say to the coordinator and to
//! the server, when, and what to do when either is lost. The load tester and the simulation drive the
//! same one; [`driver`] joins it to sockets for programs that want more than a handle.

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
