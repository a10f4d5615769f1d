//! Scripted conversations with a coordinator.

mod cast;
mod list;
mod properties;
mod relay;
mod resume;

use proto::{
    ConnectMessage, ErrorMessage, Message, MessageType, Reason, Role, ServerState, ServersMessage,
    WelcomeMessage,
};

use self::cast::Cast;
use super::*;
use crate::signal::is_server;
