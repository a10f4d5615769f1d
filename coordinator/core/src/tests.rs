//! Scripted conversations with a coordinator.

mod cast;
mod list;
mod load;
mod properties;
mod relay;
mod resume;
mod revocations;
mod topology;

use bytes::Bytes;
use proto::{
    ConnectMessage, ErrorMessage, LoadMessage, Message, MessageType, Reason, Role, ServerState,
    ServersMessage, WelcomeMessage,
};

use self::cast::Cast;
use super::*;
use crate::signal::is_server;
