/**
 * Round-trip time, and whether the server is still there. Time alone never kills a peer: only pings
 * that were sent and not answered count, so a page that slept wakes up with its peer.
 */
import type { Lane } from "./api.js";

/** Sends pings while a peer is ready. */
export class Pings {
  /** Smoothed round trip in milliseconds. */
  rttMs: number | undefined;
  private nextAt = Number.POSITIVE_INFINITY;
  private unanswered = 0;
  private awaited: number | undefined;

  get deadline(): number {
    return this.nextAt;
  }

  /** A peer is ready: the first ping goes out at once. */
  start(now: number): void {
    this.unanswered = 0;
    this.awaited = undefined;
    this.rttMs = undefined;
    this.nextAt = now;
  }

  stop(): void {
    this.nextAt = Number.POSITIVE_INFINITY;
  }

  /** The page was woken: ask now. */
  nudge(now: number): void {
    if (this.nextAt !== Number.POSITIVE_INFINITY) this.nextAt = now;
  }

  /** Anything at all came from the server. */
  heard(): void {
    this.unanswered = 0;
  }

  /** An echo came back. */
  echoed(now: number, time: number): void {
    if (time !== this.awaited) return;
    this.awaited = undefined;
    const sample = Math.max(0, now - time);
    this.rttMs = this.rttMs === undefined ? sample : this.rttMs + (sample - this.rttMs) / 4;
  }

  /** Whether so many pings went unanswered that the server must be gone. */
  isDead(now: number): boolean {
    return this.unanswered >= UNANSWERED_MAX && this.nextAt <= now;
  }

  /** The lanes to ping on now, if it is time: one, or both when the server has gone silent. */
  due(now: number, open: ReadonlySet<Lane>): Lane[] {
    if (this.nextAt > now) return [];
    this.unanswered += 1;
    const silent = this.unanswered > 1;
    this.nextAt = now + (silent ? RETRY_MS : INTERVAL_MS);
    this.awaited = now;
    if (silent) return [...open];
    return open.has("unreliable") ? ["unreliable"] : [...open];
  }
}

const INTERVAL_MS = 2_000;
const RETRY_MS = 1_000;
/** Six seconds of silence in all: 2 + 4 × 1. */
const UNANSWERED_MAX = 5;
