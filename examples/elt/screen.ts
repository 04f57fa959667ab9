import { Listr } from 'listr2'
import { amount, number } from './words.ts'

/** The working states in order, with their titles on the screen. */
const stages: readonly { readonly status: string; readonly title: string }[] = [
  { status: 'extracting', title: 'Extract' },
  { status: 'cleaning', title: 'Clean and join' },
  { status: 'loading', title: 'Load' },
  { status: 'verifying', title: 'Verify' },
]

/** How a stage ended, in words. */
type StageEnd = { readonly failed: boolean; readonly message: string }

/** Shows the progress of one run: a live list in a terminal, plain lines elsewhere. Calls before the start are kept. */
export type Screen = {
  /** Starts to draw, from the run's current stage. */
  readonly start: (status: string) => void
  /** The run has left a stage, with this result. */
  readonly passed: (status: string, message: string) => void
  /** Progress of the load, in flights. */
  readonly progress: (completed: number, total: number) => void
  /** The run has ended. Resolves when the last line is drawn. `failure` says why it did not complete. */
  readonly end: (failure?: string) => Promise<void>
}

/** Values set here are drawn: a stage's title, and a line of output under it. */
type Line = { title: string; output: string }

/**
 * Makes a screen.
 *
 * @param quarters  whether plain lines show progress too, at each quarter of the load.
 */
export function createScreen({ quarters }: { readonly quarters: boolean }): Screen {
  const ends = new Map(stages.map(({ status }) => [status, Promise.withResolvers<StageEnd>()]))
  let line: Line | undefined
  let quarter = 0
  let drawn: Promise<unknown> = Promise.resolve()

  const drawStage = async (status: string, title: string, own: Line): Promise<void> => {
    line = own
    const end = await ends.get(status)?.promise
    if (end?.failed) throw new Error(`${title}: ${end.message}`)
    if (end?.message) own.title = `${title}: ${end.message}`
  }

  return {
    start: (from) => {
      const first = stages.findIndex(({ status }) => status === from)
      const list = stages.slice(Math.max(0, first)).map(({ status, title }) => ({
        title,
        task: (_: unknown, own: Line) => drawStage(status, title, own),
      }))
      // The program handles Ctrl-C itself: it cancels the run before it exits.
      const options = { renderer: 'default', fallbackRenderer: 'simple', registerSignalListeners: false } as const
      // A failed stage is already drawn. The result shows the error.
      drawn = new Listr(list, options).run().catch(() => {})
    },
    passed: (status, message) => ends.get(status)?.resolve({ failed: false, message }),
    progress: (completed, total) => {
      const reached = Math.floor((4 * completed) / Math.max(1, total))
      if (line === undefined) return
      if (process.stdout.isTTY) line.output = `${bar(completed / Math.max(1, total))} ${howFar(completed, total)}`
      else if (quarters && reached > quarter && reached < 4) line.output = howFar(completed, total)
      quarter = reached
    },
    end: async (failure) => {
      const end = { failed: failure !== undefined, message: failure ?? '' }
      for (const stage of ends.values()) stage.resolve(end)
      await drawn
    },
  }
}

/** '5,000 of 19,999 flights'. */
export function howFar(completed: number, total: number): string {
  return `${number(completed)} of ${amount(total, 'flight')}`
}

/** @param share  from 0 to 1. */
function bar(share: number): string {
  const full = Math.round(30 * share)
  return '█'.repeat(full) + '░'.repeat(30 - full)
}
