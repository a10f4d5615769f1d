/**
 * The token: a fixed one, or one that the application is asked for before each dial, and again for
 * an AUTH long after it. Pure; a part of session.ts.
 */

/** The last answer, and the question that is open. */
export class Credentials {
  private answer: { readonly at: number; readonly token: string } | undefined;
  private questions = 0;
  private isOpen = false;

  /** `ask` puts the question with this number to the application. */
  constructor(
    private readonly fixed: string | undefined,
    private readonly ask: (question: number) => void,
  ) {}

  /** Whether nobody needs to be asked. */
  get isFixed(): boolean {
    return this.fixed !== undefined;
  }

  /** The token, if there is one that can be used now. */
  recent(now: number): string | undefined {
    if (this.fixed !== undefined) return this.fixed;
    const { answer } = this;
    return answer && now - answer.at <= TOKEN_FRESH_MS ? answer.token : undefined;
  }

  /** Asks, unless an answer is still to come. */
  request(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    this.questions += 1;
    this.ask(this.questions);
  }

  /** An answer, or with `undefined` none. Returns whether somebody waits for it. */
  answered(now: number, question: number, token: string | undefined): boolean {
    if (!this.isOpen || question !== this.questions) return false;
    this.isOpen = false;
    this.answer = token === undefined ? undefined : { at: now, token };
    return true;
  }

  /** Nobody waits any longer: what comes late is not heard. */
  giveUp(): void {
    this.isOpen = false;
  }
}

/** So long the token that was given for a dial serves for AUTH. */
const TOKEN_FRESH_MS = 30_000;
