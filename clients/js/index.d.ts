// The public types of the client. The sources are checked against them.

/** A place in a stream: behind the entry of that offset. */
export interface Position {
  epoch: string;
  offset: number;
}

/** Whom a message is for. Nodes take messages to everyone from clients only if they are told to. */
export type Recipient = { user: string } | { room: string } | "everyone";

/** One message to the user. `from` and `id` together are its name everywhere. */
export interface Message {
  /** The stream it came through: `inbox`, `room:NAME` or `everyone`. */
  stream: string;
  from: string;
  /** The sender's id for it. */
  id: string;
  to: Recipient;
  body: any;
  /** When it was accepted, in milliseconds since the Unix epoch. */
  ts: number;
  /** With `offset` its place in the stream; absent for a message that is not kept (qos 0). */
  epoch?: string;
  offset?: number;
}

/** Why a token is asked for: for a connection; likewise, and the last one was refused; the one in use expires. */
export type TokenReason = "connect" | "refused" | "expiring";

export interface Options {
  /** A node, or several, tried in turn: `ws://host:port`, `wss://host`, `host:port`; in a page also `/`. */
  url: string | string[];
  /** Who the client is, on nodes that believe it, and where `/locate` is asked without a token. */
  user?: string;
  /** Who the client is. A function is asked for each connection, and when the token expires; it throws if it has none. */
  token?: string | ((why: { reason: TokenReason }) => string | Promise<string>);
  /** The class of sockets, where the platform has none (Node before 22): that of the package `ws`. */
  WebSocket?: new (url: string, protocols?: string[]) => any;
  /** Asks `/locate`, instead of the platform's. */
  fetch?: typeof fetch;
  /** Where to go on; without, at the first message that is not acked. */
  resume?: Position;
  /** `false`: be served where it connects, for nodes that stand behind one address. `/locate` is asked, for its status. Default: true. */
  followRedirects?: boolean;
  /** Ack messages that the program was given, at most one ack every 100 ms or 64 messages. Default: true. */
  autoAck?: boolean;
  /** Requests without a reply; one more fails with `queue_full`. Default: 512. */
  outstandingMax?: number;
  /**
   * Messages that wait for the program. What is kept and comes past it is passed over, and asked for
   * again once half of them were taken; what is not kept is dropped. Default: 1024.
   */
  bufferMax?: number;
  /** Names of messages by which repeats are dropped, for the inbox and for each room. Default: 8192. */
  seenMax?: number;
  /** From the beginning of a connection to its welcome. Default: 15000. */
  connectTimeoutMs?: number;
  /** What `close` waits for receipts. Default: 5000. */
  closeTimeoutMs?: number;
  /** Least wait before a connection is tried again. Default: 20. */
  backoffMinMs?: number;
  /** Longest wait before the first new try. Each is drawn at random, and the longest doubles. Default: 1000. */
  backoffFirstMs?: number;
  /** Longest wait of all. Default: 30000. */
  backoffMaxMs?: number;
  /** After so long without a message the node is asked whether it lives. Default: what the node says, 25000. */
  pingAfterMs?: number;
  /** And it has so long to answer. Default: 10000. */
  pongWithinMs?: number;
}

export interface SendOptions {
  /** 1, the default: kept, and sent again after a break. 0: to whoever is there, and never twice. */
  qos?: 0 | 1;
  /** 1 to 64 bytes, unique for ever. Default: 128 random bits. */
  id?: string;
  /** Tell me when it was delivered (the event `delivered`). */
  notify?: boolean;
  /** `false`: not back to me, should I be in the room. */
  echo?: boolean;
}

/** What became of a message. */
export interface Receipt {
  id: string;
  /** `accepted`: it is kept. `sent` (qos 0): it was handed to a session. */
  status: "accepted" | "sent";
  /** How many nodes hold it. */
  copies?: number;
  /** The cluster had it already, from an earlier try. */
  duplicate?: boolean;
}

/** Where a room stands: what comes behind there will come. */
export interface Joined extends Position {
  /** Only with a position to go on from. `false`: some of what came behind it is gone. */
  recovered?: boolean;
}

/** Some of the users in a room. `next`: behind whom the next page begins, if there are more. */
export interface RoomPage {
  room: string;
  count: number;
  users: string[];
  next?: string;
}

/** Users that are asked about. */
export type Users = string[] | { users: string[] };

export type PresenceChange =
  | { user: string; online: boolean }
  /** `joined` and `left` may be empty after a reconnect: ask who is there. */
  | { room: string; count: number; joined: string[]; left: string[] };

export interface State {
  state: "connecting" | "connected" | "closed";
  /** The id of the node that has welcomed the client. */
  node?: string;
  /** Only where it went on from a position. `false`: some of what came behind it is gone. */
  recovered?: boolean;
  /** Why it is not connected. */
  error?: RingpostError;
  /** When it tries again. */
  retryInMs?: number;
}

export interface EventMap {
  /** A message that was not seen before. */
  message: Message;
  state: State;
  /** A message that was sent with `notify` has reached its user. */
  delivered: { id: string; user: string };
  /** Another user has come into a room that the client is in. */
  joined: { room: string; user: string };
  /** Another user has left a room that the client is in. */
  left: { room: string; user: string };
  /** Something that the client subscribes to has changed. */
  presence_change: PresenceChange;
  /** Messages of this stream may be missing; what comes behind is in order. */
  gap: { stream: string };
  /** After a reconnect a room could not be joined. With `error.retry` the client goes on trying. */
  not_rejoined: { room: string; error: RingpostError };
  /** The client is sent to another node. Nothing needs to be done. */
  redirect: { to: string; reason: string };
  /** The token expires. With a function as `token` nothing needs to be done, else `auth`. */
  token_expiring: { inMs: number };
  /** A node complains about something that it cannot name, or refuses a subscription after a break, or no fresh token could be had. */
  error: RingpostError;
  /** A message of a type that this client does not know. */
  other: { type: string; [field: string]: unknown };
  /** The last event. Without an error the program has closed the client. */
  closed: { error?: RingpostError };
}

export interface Client extends AsyncIterable<Message> {
  /** Resolves with the first welcome; rejects if the client ends before. */
  readonly ready: Promise<void>;
  readonly state: State["state"];
  /** The id of the node that has the client. */
  readonly node: string | undefined;
  /** The last message that the program was given: what to keep, for `resume`. */
  readonly position: Position | undefined;
  readonly stats: { reconnects: number; redirects: number; repeatsDropped: number };
  /** The same of a room, for `join` with `since`. */
  roomPosition(room: string): Position | undefined;
  /** Calls a listener for each event of that name; returns a function that ends this. */
  on<Name extends keyof EventMap>(name: Name, listener: (detail: EventMap[Name]) => void): () => void;
  /** The events of that name, from now on, until the client ends. Of other events than messages the newest 256 wait. */
  events<Name extends keyof EventMap>(name: Name): AsyncIterableIterator<EventMap[Name]>;
  /** The messages. So is the client itself: `for await (const message of client)`. */
  messages(): AsyncIterableIterator<Message>;
  /** Sends a message. Rejects with a `RingpostError`, whose `definite` says whether it may have been delivered. */
  send(to: Recipient, body: unknown, options?: SendOptions): Promise<Receipt>;
  /** Joins a room, and stays in it over reconnects until `leave`. */
  join(room: string, options?: { since?: Position }): Promise<Joined>;
  leave(room: string): Promise<void>;
  /** Which of these users are online, or who is in a room, page by page. */
  presence(of: Users): Promise<Record<string, boolean>>;
  presence(of: { room: string; after?: string }): Promise<RoomPage>;
  /** The same, and `presence_change` from now on, over reconnects, until `unsubscribe`. */
  subscribe(of: Users): Promise<Record<string, boolean>>;
  subscribe(of: { room: string }): Promise<RoomPage>;
  unsubscribe(of: Users | { room: string }): Promise<void>;
  /** Gives a fresh token. Needed only where `token` is no function. One that is refused (`not_allowed`) is not kept. */
  auth(token: string): Promise<unknown>;
  /** Done with all messages of the inbox up to this one; others are not acked. Needed only where `autoAck` is off. */
  ack(position: Position | Message): void;
  /** Ends the client: waits for receipts, acks what was handed over, and closes. */
  close(): Promise<void>;
}

/**
 * A request that failed, or why there is no connection. `code` is one of the protocol's error codes
 * or one of the client's own: `queue_full`, `id_in_use`, `closed`, `broken`, `bad_url`,
 * `unauthorized`, `no_token`, `unsupported`, `session_limit`, `disconnected`, `replaced`, `not_understood`.
 */
export declare class RingpostError extends Error {
  constructor(code: string, message: string, more?: { retry?: boolean; definite?: boolean; closeCode?: number });
  name: string;
  code: string;
  /** Whether the very same may succeed later. */
  retry: boolean;
  /** Whether it is certain that nothing was delivered. Not of what failed on a later connection than its first. */
  definite: boolean;
  /** The close code, if a connection was closed. */
  closeCode?: number;
}

/**
 * A client, which connects and stays connected until it is closed, or refused for good.
 * @throws RingpostError where an option is of no use
 */
export declare function connect(options: Options): Client;
