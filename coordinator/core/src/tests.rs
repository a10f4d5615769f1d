//! Scripted conversations with a coordinator.

mod cast;
mod list;
mod properties;
mod relay;

use proto::{
    ConnectMessage, ErrorMessage, Message, MessageType, Reason, Role, ServersMessage,
    WelcomeMessage,
};

use self::cast::Cast;
use super::*;
