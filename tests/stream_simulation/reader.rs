//! What a client makes of what it hears, and what it must never hear.

use bytes::Bytes;
use rand::RngExt as _;
use serde_json::Value;

use super::ledger::Target;
use super::world::World;

impl World {
    /// Frames have reached a client.
    pub fn heard(&mut self, id: usize) {
        let Some((since, frames)) = self.connections[id].hears.pop_front() else {
            return;
        };
        self.connections[id].since = since;
        if self.connections[id].left {
            return;
        }
        for frame in frames {
            match parse(&frame) {
                None => {
                    self.trace.say(format_args!("connection {id} is closed"));
                    self.dropped(id);
                    return;
                }
                Some(value) => {
                    if value["type"] != "redirect" {
                        // That one says a random time.
                        self.trace.bytes(&frame);
                    }
                    self.hear_one(id, &value);
                }
            }
            if self.connections[id].left {
                return;
            }
        }
    }

    fn hear_one(&mut self, id: usize, value: &Value) {
        let client = self.connections[id].client;
        let kind = value["type"].as_str().unwrap_or_default();
        if self.trace.is_shown() {
            let mut text = value.to_string();
            text.truncate(200);
            self.trace.say(format_args!("client {client} hears {text}"));
        }
        let welcomed = self.connections[id].welcomed;
        if welcomed == (kind == "welcome") && kind != "error" {
            self.wrong(id, "a welcome that is not the first, or none", value);
        }
        match kind {
            "welcome" => self.welcome(id, value),
            "message" => self.receive(id, value),
            "receipt" => self.receipt(id, value),
            "delivered" => {
                let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                self.ledger.is_delivered(&text("id"), &text("user"));
            }
            "joined" | "left" => self.hear_who_is_there(id, kind == "joined", value),
            "error" => self.miss_in_room(id, value),
            "redirect" => {
                if self.rng.random_bool(0.8) {
                    self.cut(client);
                }
            }
            _ => self.wrong(id, "something else", value),
        }
    }

    pub fn wrong(&mut self, id: usize, what: &str, value: &Value) {
        let client = self.connections[id].client;
        let text = format!("client {client}, connection {id}: {what}: {value}");
        self.ledger.fail(text);
    }

    fn welcome(&mut self, id: usize, value: &Value) {
        let client = self.connections[id].client;
        self.connections[id].welcomed = true;
        let position = position_of(value);
        let recovered = value["recovered"].as_bool();
        let came_with = self.connections[id].came_with.clone();
        if position.is_none() || recovered.is_some() != came_with.is_some() {
            self.wrong(id, "a strange welcome", value);
        }
        if recovered == Some(false) {
            // In a split the other side may never have heard of that position. Then nothing is lost:
            // it is all there again once the sides have met.
            let excused = !self.scenario.careful || self.scenario.inbox_max < 1000;
            if excused {
                self.clients[client].excused = self.ledger.messages.len();
            } else if !self.scenario.may_fork() {
                self.wrong(id, "what was accepted is lost", value);
            }
        }
        if came_with.is_none() {
            // What others of its user have acked is not for one that comes from nowhere.
            self.clients[client].fresh = (self.now, self.ledger.messages.len());
        }
        self.connections[id].last.clone_from(&position);
        self.clients[client].position = position;
        let rooms_first = self.rng.random_bool(0.5);
        if rooms_first {
            self.join_again(client, id);
        }
        for number in self.clients[client].pending.clone() {
            self.send_again(id, number);
        }
    }

    fn receive(&mut self, id: usize, value: &Value) {
        let client = self.connections[id].client;
        let name = value["id"].as_str().unwrap_or_default();
        let body = value["body"]["n"].as_u64().unwrap_or(u64::MAX);
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        let from = value["from"].as_str().unwrap_or_default();
        let Some(number) = self.ledger.find(name) else {
            return self.wrong(id, "a message that nobody has sent", value);
        };
        let user = self.clients[client].user;
        if from != format!("u{}", self.ledger.messages[number].from) {
            return self.wrong(id, "a message of another sender", value);
        }
        let Some((epoch, offset)) = position_of(value) else {
            return self.wrong(id, "a message without a position", value);
        };
        if let Target::Room(room) = self.ledger.messages[number].to {
            return self.receive_in_room(id, (room, number), (epoch, offset), value);
        }
        if let Some((last_epoch, last)) = &self.connections[id].last
            && *last_epoch == epoch
            && *last >= offset
        {
            return self.wrong(id, "an offset that does not grow", value);
        }
        let news = self.ledger.is_received(number, client, user, body);
        self.clients[client].seen.insert(number);
        if news {
            self.check_order(id, number, value);
        } else if self.scenario.careful && !self.scenario.may_fork() && self.clients[client].resumes
        {
            self.wrong(id, "a repeat", value);
        }
        self.check_acked(id, number, value);
        self.connections[id].last = Some((epoch.clone(), offset));
        self.clients[client].position = Some((epoch, offset));
    }

    /// What is acked does not come to a session without a position.
    fn check_acked(&mut self, id: usize, number: usize, value: &Value) {
        let connection = &self.connections[id];
        let taken = self.ledger.messages[number].ack_taken;
        if connection.came_with.is_none()
            && taken.is_some_and(|(_, at)| at < connection.made_at)
            && self.scenario.careful
            && !self.scenario.may_fork()
        {
            self.wrong(id, "acked before it came", value);
        }
    }

    /// What one client sends to one user or room arrives in its order.
    pub fn check_order(&mut self, id: usize, number: usize, value: &Value) {
        let client = self.connections[id].client;
        let sender = self.ledger.messages[number].client;
        let lane = (sender, self.ledger.messages[number].to);
        let last = self.clients[client].last_of.get(&lane).copied();
        let message = &self.ledger.messages[number];
        // A full inbox refuses one message and, once there is room, takes the next. If its sender did
        // not hear of that, it repeats the first one behind it.
        let full = self.scenario.may_fill() || self.scenario.rooms_forget();
        let refused_unheard = full && message.attempts > 1;
        if let Some(last) = last
            && last > number
            && !self.scenario.splits
            && !self.ledger.torn
            && !message.unordered
            && !refused_unheard
        {
            let before = self.ledger.messages[last].id.clone();
            return self.wrong(id, &format!("behind {before}"), value);
        }
        let last = last.map_or(number, |last| last.max(number));
        self.clients[client].last_of.insert(lane, last);
    }

    fn receipt(&mut self, id: usize, value: &Value) {
        let client = self.connections[id].client;
        let name = value["id"].as_str().unwrap_or_default().to_owned();
        if self.room_receipt(id, &name, value) {
            return;
        }
        let Some(number) = self.ledger.find(&name) else {
            return self.wrong(id, "a receipt for nothing", value);
        };
        match self.connections[id].waiting.get_mut(&name) {
            Some(count) if *count > 0 => *count -= 1,
            _ => return self.wrong(id, "a receipt too many", value),
        }
        if self.ledger.messages[number].client != client {
            return self.wrong(id, "the receipt of another", value);
        }
        let code = value["error"]["code"].as_str().unwrap_or_default();
        match value["status"].as_str() {
            Some("accepted") => {
                let copies = value["copies"].as_u64().unwrap_or_default();
                self.ledger
                    .is_accepted(number, copies, self.scenario.replicas);
                self.check_receipt(id, number, copies);
                self.clients[client].pending.retain(|sent| *sent != number);
            }
            Some("failed") => self.failed(id, number, code),
            _ => self.wrong(id, "a strange receipt", value),
        }
    }

    fn failed(&mut self, id: usize, number: usize, code: &str) {
        let client = self.connections[id].client;
        let name = self.ledger.messages[number].id.clone();
        let last = self.connections[id].waiting.get(&name) == Some(&0);
        if self.ledger.messages[number].accepted {
            return;
        }
        match code {
            "inbox_full" | "unreachable" => {
                self.ledger.is_refused(number, code);
                if last {
                    self.clients[client].pending.retain(|sent| *sent != number);
                }
            }
            "unknown" if last => {
                self.ledger.messages[number].unordered = true;
                self.send_again(id, number);
            }
            "unknown" => {}
            _ => self.ledger.fail(format!("{name} failed: {code}")),
        }
    }
}

pub fn position_of(value: &Value) -> Option<(String, u64)> {
    let epoch = value["epoch"].as_str()?.to_owned();
    Some((epoch, value["offset"].as_u64()?))
}

/// The JSON of a text frame of a server; `None` for a Close frame.
fn parse(frame: &Bytes) -> Option<Value> {
    const TEXT: u8 = 0x81;
    if frame[0] != TEXT {
        return None;
    }
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    Some(serde_json::from_slice(&frame[header..]).expect("a server writes JSON"))
}
