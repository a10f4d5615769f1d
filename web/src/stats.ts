/** What a client counts. Every drop has its reason. */
import type { Stats } from "./api.js";

/** All zero. */
export function newStats(): Stats {
  const traffic = () => ({
    reliable: { packets: 0, bytes: 0 },
    unreliable: { packets: 0, bytes: 0 },
  });
  return {
    sent: traffic(),
    received: traffic(),
    dropped: { notConnected: 0, buffered: 0, oldest: 0, tooLarge: 0, closed: 0 },
    ignored: {
      malformed: 0,
      unknown: 0,
      unwanted: 0,
      ownEcho: 0,
      repeated: 0,
      stray: 0,
      unsent: 0,
    },
    attempts: 0,
    connects: 0,
    moves: 0,
    renewals: 0,
  };
}
