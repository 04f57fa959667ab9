import { storableEvent, storableItem } from '../context/storable-report.ts'
import type { BatchPiece } from '../model/batch-piece.ts'
import { hasCode, JobchartError } from '../model/error.ts'
import type { ItemReport } from '../model/item.ts'
import { type ProgressReport, readProgress } from '../model/progress.ts'
import type { Json } from '../model/storable.ts'
import type { Progress } from '../model/task.ts'
import type { AgentLine, AgentTransport, ClaimKey } from '../port/agent.ts'
import type { Clock } from '../port/clock.ts'
import type { LineOptions, TaskChannel, TaskMessage } from '../port/executor.ts'
import { type CallRules, type Calls, isUnwritten, mayPass } from './calls.ts'

/** How often the progress of one task is sent at most, in milliseconds. */
const PROGRESS_MS = 250
const LINE_CHARACTERS_MAX = 10_000
/** The most lines and characters of one call. */
const BATCH_LINES = 1_000
const BATCH_CHARACTERS = 1_000_000
/** The most characters of lines that wait to be sent. Lines beyond that are dropped. */
const WAITING_CHARACTERS_MAX = 4_000_000
/** What a line costs beside its text, in characters. */
const LINE_COST = 100

/** The parts of a held task that {@link AgentReports} needs. */
export interface ReportingTask {
  readonly transport: AgentTransport
  readonly calls: Calls
  readonly clock: Clock
  readonly claim: ClaimKey
  readonly inbox: AsyncIterable<TaskMessage>
  /** Aborted when the code should stop. Items, steps and events that the engine does not answer then fail. */
  readonly stopping: AbortSignal
  /** Aborted when no report counts any more. */
  readonly dropped: AbortSignal
}

/**
 * The reports of the code that an agent runs. Items, steps and events are sent one after the other, in the order in
 * which the code made them. Log lines are sent in batches, and of the progress only the newest.
 */
export class AgentReports implements TaskChannel {
  readonly #task: ReportingTask
  /** Settles with the last item, step or event that the code has reported. */
  #last: Promise<unknown> | undefined
  #lines: AgentLine[] = []
  #waitingCharacters = 0
  #droppedLines = 0
  #lineCalls = 0
  #sendingLines: Promise<void> | undefined
  #progress: Progress | undefined
  #isProgressDue = false
  #hasWarned = false
  #sendingProgress: Promise<void> | undefined
  readonly #ended = new AbortController()

  constructor(task: ReportingTask) {
    this.#task = task
  }

  get inbox(): AsyncIterable<TaskMessage> {
    return this.#task.inbox
  }

  // Does nothing, because the agent has reported the start.
  readonly started = async (): Promise<void> => {}

  readonly progress = (report: ProgressReport | number): void => {
    if (this.#ended.signal.aborted) return
    const { progress, warning } = readProgress(report, this.#progress)
    if (warning !== undefined && !this.#hasWarned) {
      this.#hasWarned = true
      this.log(warning)
    }
    if (progress === undefined) return
    this.#progress = progress
    this.#isProgressDue = true
    this.#sendingProgress ??= this.#sendProgress()
  }

  async #sendProgress(): Promise<void> {
    while (this.#isProgressDue) {
      this.#isProgressDue = false
      const progress = this.#progress ?? 0
      await this.#note(({ transport, claim }) => transport.progress(claim, progress))
      await this.#task.calls.pause(PROGRESS_MS, this.#ended.signal)
    }
    this.#sendingProgress = undefined
  }

  readonly log = (given: string, { stream }: LineOptions = {}): void => {
    if (this.#ended.signal.aborted) return
    const text = `${given}`.slice(0, LINE_CHARACTERS_MAX)
    if (this.#waitingCharacters > WAITING_CHARACTERS_MAX) this.#droppedLines++
    else {
      this.#waitingCharacters += text.length + LINE_COST
      this.#lines.push({ text, ...(stream === undefined ? {} : { stream }) })
    }
    this.#sendingLines ??= this.#sendLines()
  }

  async #sendLines(): Promise<void> {
    // Lines of one turn of the event loop are sent together.
    await turn(this.#task.clock)
    while (this.#lines.length > 0) {
      const lines = this.#nextLines()
      const number = ++this.#lineCalls
      await this.#note(({ transport, claim }) => transport.log(claim, lines, number))
    }
    this.#sendingLines = undefined
  }

  #nextLines(): readonly AgentLine[] {
    let characters = 0
    let count = 0
    while (count < this.#lines.length && count < BATCH_LINES - 1 && characters < BATCH_CHARACTERS) {
      characters += (this.#lines[count]?.text.length ?? 0) + LINE_COST
      count++
    }
    this.#waitingCharacters -= characters
    const lines = this.#lines.splice(0, count)
    if (this.#droppedLines === 0 || this.#lines.length > 0) return lines
    const text = `${this.#droppedLines} lines are missing here: the engine did not take them fast enough`
    this.#droppedLines = 0
    return [...lines, { text }]
  }

  // Lines and progress are best effort, and nobody waits for them: if the engine refuses them, they are dropped.
  async #note(call: (task: ReportingTask) => Promise<void>): Promise<void> {
    const { calls, dropped } = this.#task
    await calls.untilAnswered(() => call(this.#task), { signal: dropped }).catch(() => {})
  }

  readonly item = async (key: string, report: ItemReport = {}): Promise<void> => {
    const item = storableItem(key, report)
    await this.#inOrder(({ transport, claim }) => transport.item(claim, key, item))
  }

  readonly items = async (piece: BatchPiece): Promise<void> => {
    await this.#inOrder(({ transport, claim }) => transport.items(claim, piece))
  }

  readonly recordedItems: TaskChannel['recordedItems'] = (range) => {
    return this.#read(({ transport, claim }) => transport.recordedItems(claim, range))
  }

  readonly itemKeys: TaskChannel['itemKeys'] = (keys) => {
    return this.#read(({ transport, claim }) => transport.itemKeys(claim, keys))
  }

  #read<Answer>(call: (task: ReportingTask) => Promise<Answer>): Promise<Answer> {
    return this.#task.calls.untilAnswered(() => call(this.#task), this.#rules(mayPass))
  }

  readonly step = async (name: string, result: Json | undefined): Promise<void> => {
    await this.#inOrder(({ transport, claim }) => transport.step(claim, name, result))
  }

  readonly send = async (event: TaskMessage): Promise<boolean> => {
    const copy = storableEvent(event)
    try {
      await this.#inOrder(({ transport, claim }) => transport.event(claim, copy), isUnwritten)
      return true
    } catch (error) {
      if (hasCode(error, 'INVALID_STATE')) return false
      if (error instanceof JobchartError) throw error
      // The chart may have received the event, so it is not sent again.
      throw new JobchartError('OUTCOME_UNKNOWN', `the chart may or may not have received "${event.type}"`, {
        cause: error,
      })
    }
  }

  #inOrder(call: (task: ReportingTask) => Promise<void>, isPassing = mayPass): Promise<void> {
    const { calls } = this.#task
    const before = this.#last
    const made = (async () => {
      await before
      await calls.untilAnswered(() => call(this.#task), this.#rules(isPassing))
    })()
    this.#last = made.catch(() => {})
    return made
  }

  // Code that was told to stop may still report, but no longer waits for an engine that is away.
  #rules(isPassing: (error: unknown) => boolean): CallRules {
    const { stopping, dropped } = this.#task
    return { signal: dropped, hurry: stopping, mayRepeat: (error) => !stopping.aborted && isPassing(error) }
  }

  /** Called when the code has ended. Resolves when all reports are sent. Later reports are ignored. */
  async end(): Promise<void> {
    for (let last: unknown; last !== this.#last; ) {
      last = this.#last
      await last
      // What nobody has awaited has failed now, and its error becomes a line of the log.
      await turn(this.#task.clock)
    }
    this.#ended.abort()
    await Promise.all([this.#sendingProgress, this.#sendingLines])
  }
}

function turn(clock: Clock): Promise<void> {
  return new Promise((resume) => clock.turn(resume))
}
