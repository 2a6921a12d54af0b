//! What must hold once everything is calm.

use std::collections::BTreeMap;

use ringpost::core::stream::{CopyReport, Part};

use super::gossip::node_id;
use super::ledger::Target;
use super::server::user_id;
use super::world::World;

impl World {
    /// Every node agrees, and every stream is where it belongs.
    pub fn check_settled(&mut self) {
        let wrong = self.unsettled();
        if let Some(wrong) = wrong {
            self.ledger.fail(format!("after the calm: {wrong}"));
        }
    }

    fn unsettled(&self) -> Option<String> {
        if !self.all_see_all() {
            return Some("not all see all".to_owned());
        }
        let mut digests = Vec::new();
        for pid in self.pids() {
            let dispatch = &self.process(pid)?.dispatch;
            digests.push(dispatch.topology().view.digest());
            let counts = [
                ("consents", u64::from(!dispatch.is_settled())),
                ("under-replicated streams", dispatch.under_replicated()),
                (
                    "unresolved messages",
                    self.overdue(dispatch.unresolved()) as u64,
                ),
            ];
            for (what, count) in counts {
                if count > 0 {
                    return Some(format!("{pid:?} has {count} {what}"));
                }
            }
        }
        digests.dedup();
        if digests.len() != 1 {
            return Some(format!("{} digests", digests.len()));
        }
        self.lost_guests()
            .or_else(|| self.wrong_copies())
            .or_else(|| self.wrong_rooms())
    }

    /// Of so many messages without an outcome those that should have one. One that may be in a log
    /// that is lost, and finds the inbox full ever since, waits for its deadline.
    fn overdue(&self, unresolved: usize) -> usize {
        if self.scenario.inbox_max > 1000 {
            unresolved
        } else {
            0
        }
    }

    /// Every guest is known to its owner, and nobody else is.
    fn lost_guests(&self) -> Option<String> {
        let mut guests = Vec::new();
        let mut known = 0;
        for pid in self.pids() {
            let process = self.process(pid)?;
            known += process.dispatch.counts().1;
            let topology = process.dispatch.topology();
            let away = process.connections.iter().filter(|id| {
                let client = &self.clients[self.connections[**id].client];
                !topology.is_mine(user_id(client.user).as_str())
            });
            guests.extend(away.copied());
        }
        let wrong = guests.len() != known;
        wrong.then(|| format!("{known} guests are known, and there are {guests:?}"))
    }

    fn wrong_copies(&self) -> Option<String> {
        let mut copies: BTreeMap<String, Vec<(usize, Part, CopyReport)>> = BTreeMap::new();
        let mut view = None;
        for pid in self.pids() {
            let dispatch = &self.process(pid)?.dispatch;
            view.get_or_insert_with(|| dispatch.topology().view.clone());
            for report in dispatch.reports() {
                let copy = report.copy.filter(|copy| !copy.empty);
                if let Some(copy) = copy {
                    let all = copies.entry(report.key.as_str().to_owned()).or_default();
                    all.push((pid.machine, report.part, copy));
                } else if report.part == Part::Taking {
                    return Some(format!("{pid:?} is still taking {} over", report.key));
                }
            }
        }
        let view = view?;
        for (key, copies) in copies {
            let wanted: Vec<_> = view.preference(&key).take(self.scenario.replicas).collect();
            let told = |wrong: &str| Some(format!("{key}: {wrong}: {copies:#?}"));
            if copies.len() != wanted.len() {
                return told("not the right number of copies");
            }
            for (machine, part, copy) in &copies {
                let place = wanted.iter().position(|m| m.id == node_id(*machine));
                if key.starts_with('r') && copy.waiting > 0 {
                    return told("not all is history");
                }
                let right = match place {
                    None => return told("a copy where none should be"),
                    Some(0) => *part == Part::Owner,
                    Some(_) => *part == Part::Holder,
                };
                let same = copy.tip == copies[0].2.tip
                    && copy.seq == copies[0].2.seq
                    && copy.config == copies[0].2.config
                    && copy.entries == copies[0].2.entries
                    && copy.waiting == copies[0].2.waiting;
                let holders = copy.holders.iter().map(|holder| &holder.node);
                if !right || !same || copy.sealed || !holders.eq(wanted.iter().map(|m| &m.id)) {
                    return told("not what it should be");
                }
                if self.scenario.inbox_max < 1000
                    && key.starts_with('u')
                    && !self.scenario.may_fork()
                    && copy.waiting > self.scenario.inbox_max
                {
                    return told("more than an inbox takes");
                }
            }
        }
        None
    }

    /// Every client has what was accepted for it, and no sender waits.
    pub fn check_received(&mut self) {
        for id in 0..self.clients.len() {
            let client = &self.clients[id];
            let Some(connection) = client.connection else {
                return self.ledger.fail(format!("client {id} is not there"));
            };
            let waiting = &self.connections[connection].waiting;
            let waiting = waiting.iter().find(|(_, count)| **count > 0);
            if let Some((name, _)) = waiting.filter(|_| self.overdue(1) > 0) {
                return self.ledger.fail(format!("{name} has no receipt"));
            }
        }
        if !self.scenario.careful {
            return;
        }
        for (number, message) in self.ledger.messages.iter().enumerate() {
            if !message.accepted {
                continue;
            }
            let devices = self.clients.iter().enumerate();
            let to = match message.to {
                Target::User(user) => user,
                Target::Room(room) => {
                    if let Some(missing) = self.who_misses(room, number) {
                        let text = format!("accepted, and missed by {missing}: {message:?}");
                        return self.ledger.fail(text);
                    }
                    continue;
                }
            };
            let devices: Vec<_> = devices.filter(|(_, c)| c.user == to).collect();
            let missing = (devices.iter())
                .find(|(id, c)| !c.may_miss(number, message) && !message.received.contains(id));
            if let Some((missing, _)) = missing {
                let text = format!("accepted and not received by {missing}: {message:?}");
                return self.ledger.fail(text);
            }
        }
    }

    /// Every client sends one more message.
    pub fn last_words(&mut self) {
        for client in 0..self.clients.len() {
            if let Some(id) = self.clients[client].connection
                && self.connections[id].welcomed
            {
                let to = (self.clients[client].user + 1) % self.scenario.users;
                self.send_new(client, id, Target::User(to));
                if self.scenario.rooms > 0 {
                    self.send_new(client, id, Target::Room(client % self.scenario.rooms));
                }
                self.clients[client].said_last = true;
            }
        }
    }

    pub fn check_last_words(&mut self) {
        for (id, client) in self.clients.iter().enumerate() {
            if !client.said_last {
                return self
                    .ledger
                    .fail(format!("client {id} could not send at the end"));
            }
            if self.scenario.inbox_max > 1000 && !client.pending.is_empty() {
                let text = format!("client {id} still waits for {:?}", client.pending);
                return self.ledger.fail(text);
            }
        }
    }
}
