/** The chat panel. Remote text only ever becomes text nodes. */
import { TEXT_LENGTH_MAX } from "./payload.js";
import { element } from "./dom.js";

/** A line to show. */
export interface Line {
  readonly name: string;
  readonly text: string;
  readonly hue: number;
  readonly own?: boolean;
  /** It waits for a connection. */
  readonly waiting?: boolean;
}

/** The log and the form below it. */
export class Chat {
  private readonly log = element("log", HTMLOListElement);
  private readonly input = element("say", HTMLInputElement);
  private readonly waiting: HTMLElement[] = [];

  /** `say` is given what was typed; if it throws, the text stays and the reason is shown. */
  constructor(say: (text: string) => void) {
    this.input.maxLength = TEXT_LENGTH_MAX;
    element("say-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.input.value.trim();
      if (!text) return;
      try {
        say(text);
        this.input.value = "";
      } catch (error) {
        this.note(`Not sent: ${error instanceof Error ? error.message : error}`);
      }
    });
  }

  /** Somebody said something. */
  add({ name, text, hue, own, waiting }: Line): void {
    const item = document.createElement("li");
    const speaker = document.createElement("b");
    speaker.textContent = name;
    speaker.style.setProperty("--hue", String(Math.round(hue)));
    const words = document.createElement("span");
    words.textContent = text;
    item.append(speaker, " ", words);
    if (own) item.classList.add("own");
    if (waiting) {
      item.classList.add("waiting");
      this.waiting.push(item);
    }
    this.append(item);
  }

  /** Something happened to the connection. */
  note(text: string): void {
    const item = document.createElement("li");
    item.className = "note";
    item.textContent = text;
    this.append(item);
  }

  /** What waited has gone out. */
  delivered(): void {
    for (const item of this.waiting.splice(0)) item.classList.remove("waiting");
  }

  private append(item: HTMLLIElement): void {
    const { log } = this;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(item);
    while (log.childElementCount > LINES_MAX) log.firstElementChild?.remove();
    if (atEnd || item.classList.contains("own")) log.scrollTop = log.scrollHeight;
  }
}

const LINES_MAX = 200;
