//! Who subscribes to what.

use std::collections::HashMap;

/// Subscribers of each topic, by their slots.
#[derive(Debug, Default)]
pub(crate) struct Topics(HashMap<String, Vec<usize>>);

impl Topics {
    pub(crate) fn subscribers(&self, topic: &str) -> &[usize] {
        self.0.get(topic).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn subscribe(&mut self, slot: usize, topic: &str) {
        match self.0.get_mut(topic) {
            Some(slots) if slots.contains(&slot) => {}
            Some(slots) => slots.push(slot),
            None => {
                self.0.insert(topic.to_owned(), vec![slot]);
            }
        }
    }

    pub(crate) fn unsubscribe(&mut self, slot: usize, topic: &str) {
        if let Some(slots) = self.0.get_mut(topic) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.0.remove(topic);
            }
        }
    }

    pub(crate) fn leave(&mut self, slot: usize) {
        self.0.retain(|_, slots| {
            slots.retain(|other| *other != slot);
            !slots.is_empty()
        });
    }
}
