import { spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { Writable } from 'node:stream'

/**
 * A shell script. It reads commands: `+ group` adds a process group to its list and prints the group as an answer; `-
 * group` removes the group. Its standard input ends when the engine's process ends, even by SIGKILL. The script then
 * kills all groups on the list. It ignores SIGPIPE, because the process may end before it has read the last answer.
 */
const GUARD = `
trap '' PIPE
groups=' '
while read -r what group; do
  case $what in
    +) groups="$groups$group "; echo "$group" ;;
    -) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -KILL "-$group"; done
`

/**
 * A shell beside the engine's process. When that process ends, the shell kills the process groups that the process
 * leaves behind, and ends too. It runs in a session of its own, so that Ctrl-C in the terminal does not end it first.
 * If the shell itself is killed, another one is started.
 */
export class ProcessGuard {
  readonly #groups = new Set<number>()
  #shell: { readonly stdin: Writable; readonly answers: Interface } | undefined
  readonly #waiting = new Map<number, () => void>()

  /** Puts a process group on the guard's list. Resolves when the guard has answered. */
  async guard(group: number): Promise<void> {
    this.#groups.add(group)
    const guarded = new Promise<void>((resolve) => this.#waiting.set(group, resolve))
    if (this.#shell === undefined) this.#start()
    else this.#tell('+', group)
    await guarded
  }

  /** Called when the group has ended. Takes it off the guard's list. */
  release(group: number): void {
    this.#groups.delete(group)
    this.#waiting.delete(group)
    this.#tell('-', group)
    if (this.#groups.size === 0) this.#end()
  }

  #start(): void {
    const shell = spawn('/bin/sh', ['-c', GUARD], { detached: true, stdio: ['pipe', 'pipe', 'ignore'] })
    const { stdin, stdout } = shell
    // The guard and its pipes do not keep this process alive. Only the guarded processes do.
    shell.unref()
    for (const pipe of [stdin, stdout]) if ('unref' in pipe && typeof pipe.unref === 'function') pipe.unref()
    const answers = createInterface({ input: stdout }).on('line', (group) => {
      this.#waiting.get(Number(group))?.()
      this.#waiting.delete(Number(group))
    })
    const started = { stdin, answers }
    this.#shell = started
    // A write fails if the guard has ended. Its `exit` event, below, starts another one.
    stdin.on('error', () => {})
    shell.once('error', () => this.#gone(started)).once('exit', () => this.#gone(started))
    for (const group of this.#groups) this.#tell('+', group)
  }

  #gone(shell: object): void {
    if (this.#shell !== shell) return
    this.#shell = undefined
    if (this.#groups.size > 0) this.#start()
  }

  #tell(what: '+' | '-', group: number): void {
    this.#shell?.stdin.write(`${what} ${group}\n`)
  }

  #end(): void {
    const shell = this.#shell
    this.#shell = undefined
    shell?.answers.close()
    shell?.stdin.end()
  }
}
