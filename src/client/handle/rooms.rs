//! Rooms, from the program's side.

use super::{Client, Machine, Reply, odd, random_id, settled};
use crate::client::driver::now;
use crate::client::error::SendError;
use crate::client::event::{Joined, Position, RoomPage};
use crate::client::messages;

impl Client {
    /// Joins a room: what is sent to it from now on comes as
    /// [`Event::Message`](crate::client::Event::Message), its `stream` `room:NAME`.
    ///
    /// The client keeps the program in the room until [`Client::leave`], over breaks and moves, and
    /// goes on where it was: the program sees one stream without repeats. Where that cannot be, it is
    /// told: [`Event::RoomGap`](crate::client::Event::RoomGap),
    /// [`Event::NotRejoined`](crate::client::Event::NotRejoined). Messages with qos 0 that are sent while
    /// there is no connection are not among them.
    ///
    /// To join a room again in which the client is changes nothing.
    ///
    /// # Errors
    /// [`SendError`]. A join that has failed is not tried again.
    pub async fn join(&self, room: &str) -> Result<Joined, SendError> {
        self.join_from(room, None).await
    }

    /// Joins a room, and wants what was sent to it behind a position, too, as far as it is still
    /// there ([`Joined::recovered`]): that of a message of it, of an earlier [`Joined`], or what
    /// [`Client::room_position`] gave.
    ///
    /// In a room in which the client is it goes back, or forth, to there.
    ///
    /// # Errors
    /// As [`Client::join`].
    pub async fn join_since(&self, room: &str, position: &Position) -> Result<Joined, SendError> {
        self.join_from(room, Some(position)).await
    }

    async fn join_from(&self, room: &str, since: Option<&Position>) -> Result<Joined, SendError> {
        let id = random_id();
        let join = |machine: &mut Machine| machine.join(&id, room, since);
        let reply = self.request(join).await?;
        match settled(reply.await)? {
            Reply::Joined(joined) => Ok(joined),
            other => Err(odd(&other)),
        }
    }

    /// Leaves a room. Messages of it that the program has not taken yet are dropped; none come after
    /// this was first polled, whatever becomes of it.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn leave(&self, room: &str) -> Result<(), SendError> {
        let id = random_id();
        let leave = |machine: &mut Machine| machine.leave(now(), &id, room);
        let reply = self.request(leave).await?;
        match settled(reply.await)? {
            Reply::Left => Ok(()),
            other => Err(odd(&other)),
        }
    }

    /// The position of the last message of a room that the program was given, or where it joined:
    /// what to keep for [`Client::join_since`]. `None` if it is not in the room.
    #[must_use]
    pub fn room_position(&self, room: &str) -> Option<Position> {
        self.shared.lock().machine.room_position(room).cloned()
    }

    /// All users who are in a room. Asks page by page, so who comes or goes meanwhile may be in it or
    /// not.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn presence_of_room(&self, room: &str) -> Result<Vec<String>, SendError> {
        let mut page = self.room_page(room, None).await?;
        let mut users = page.users;
        while let Some(last) = page.next {
            page = self.room_page(room, Some(&last)).await?;
            users.append(&mut page.users);
        }
        Ok(users)
    }

    /// How many users are in a room, and some of them: the first ones, or those behind `after`, the
    /// [`RoomPage::next`] of the page before.
    ///
    /// # Errors
    /// [`SendError`]. A question that a broken connection has swallowed is asked again.
    pub async fn room_page(&self, room: &str, after: Option<&str>) -> Result<RoomPage, SendError> {
        let id = random_id();
        let text = messages::room_presence(&id, room, after);
        let ask = |machine: &mut Machine| machine.request(&id, text.into(), true);
        let reply = self.request(ask).await?;
        match settled(reply.await)? {
            Reply::RoomPage(page) => Ok(page),
            other => Err(odd(&other)),
        }
    }
}
