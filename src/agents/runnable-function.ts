import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { TaskContext } from '../model/task.ts'

/** A function that an agent can run. */
export interface RunnableFunction<Input = unknown> {
  /** The name by which tasks ask for the function. */
  readonly name: string
  /**
   * The version of the code. A task may ask for a version; one that asks for none runs on any. Absent: the agent takes
   * only tasks that ask for none.
   */
  readonly version?: string
  /** Checks the input; the code receives the parsed value. An input that does not fit fails the attempt. */
  readonly input?: StandardSchemaV1<unknown, Input>
  /** Checks the result. A result that does not fit fails the attempt. */
  readonly output?: StandardSchemaV1
  /**
   * Runs a task. It returns the output, or throws; the rules are those of `task()`. A thrown error with the name
   * `ExitError` and a whole number `exitCode` other than 0 becomes the exit of a program.
   */
  readonly run: (context: TaskContext<Input>, more: AgentRunOptions) => unknown
}

/** The second argument of the code that an agent runs. */
export interface AgentRunOptions {
  /**
   * Aborted when the code's time to stop is over: end at once what still runs, e.g. kill a child process. A second
   * later the agent reports the end, even if the code goes on.
   */
  readonly killSignal: AbortSignal
}
