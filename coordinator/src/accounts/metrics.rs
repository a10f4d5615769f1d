//! What is counted of registered clients.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counters. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    clients: Gauge,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("coordinator");
        registry.register(
            "account_requests",
            "Requests of registered clients, and about them, by what came of them",
            self.requests.clone(),
        );
        registry.register(
            "registered_clients",
            "Clients that are registered",
            self.clients.clone(),
        );
    }

    pub(super) fn request(&self, request: Request, result: Outcome) {
        let labels = Labels { request, result };
        self.requests.get_or_create(&labels).inc();
    }

    pub(super) fn clients(&self, count: u64) {
        self.clients.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Request {
    Register,
    Unregister,
    Login,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    Done,
    /// The asker's fault.
    Refused,
    /// Too many waited already.
    Busy,
    /// The store does not work.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    request: Request,
    result: Outcome,
}
