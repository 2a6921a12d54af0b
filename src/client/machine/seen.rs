//! The names of messages that were seen, the newest so many of them.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// A bounded set; the oldest name gives way.
#[derive(Debug)]
pub(super) struct Seen {
    names: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
    names_max: usize,
}

impl Seen {
    pub fn new(names_max: usize) -> Self {
        Self {
            names: HashSet::new(),
            order: VecDeque::new(),
            names_max,
        }
    }

    /// Takes a name in; `false` if it was there.
    pub fn insert(&mut self, from: &str, id: &str) -> bool {
        // The length keeps ("a", "bc") and ("ab", "c") apart.
        let name: Arc<str> = format!("{}:{from}{id}", from.len()).into();
        if !self.names.insert(Arc::clone(&name)) {
            return false;
        }
        self.order.push_back(name);
        if self.order.len() > self.names_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_and_forgotten_when_too_many_came_after_it() {
        let mut seen = Seen::new(2);
        assert!(seen.insert("a", "bc"));
        assert!(seen.insert("ab", "c"));
        assert!(!seen.insert("a", "bc"));
        assert!(seen.insert("x", "1"));
        assert!(seen.insert("a", "bc"));
        assert!(!seen.insert("x", "1"));
        assert_eq!((seen.names.len(), seen.order.len()), (2, 2));
    }
}
