/** Topic names: what is one, and what is not. The same rules as the servers'. */
import { TOPIC_BYTES_MAX } from "./generated/limits.js";
import { type BrokerError, named } from "./reasons.js";
import { utf8 } from "./wire.js";

/** What is wrong with a topic that a client wants to publish or subscribe to, if anything. */
export function topicError(topic: string): BrokerError | undefined {
  const plain = topic.length <= TOPIC_BYTES_MAX && PLAIN.test(topic);
  return plain || (WELL_FORMED.test(topic) && utf8(topic).length <= TOPIC_BYTES_MAX)
    ? undefined
    : named("BadTopic", topic);
}

// `$` at the start is the broker's own.
const PLAIN = /^[!-#%-~][!-~]*$/;
// No white space, no control characters, no lone surrogates.
const WELL_FORMED = /^(?!\$)[^\p{White_Space}\p{Cc}\p{Cs}]+$/u;
