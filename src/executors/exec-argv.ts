/**
 * The options of Node that belong to the program of one process only: code that is given as text, the prompt, a check, a
 * run of tests, a watch, and the port of a debugger. A child with the code of `node -e` would run that code again, and
 * so start another child.
 */
const OF_ONE_PROCESS =
  /^(-e|-p|-pe|-i|-c|--(eval|print|interactive|check|input-type|debug-port|run|(watch|test|inspect)(-.+)?))$/

/** The options of this Node process that hold for a module in a process of its own too. */
export function inheritedOptions(execArgv: readonly string[] = process.execArgv): readonly string[] {
  const isDropped = (option = '') => OF_ONE_PROCESS.test(option.split('=')[0] ?? '')
  // An argument that is no option is the value of the option before it.
  return execArgv.filter((each, index) => !isDropped(each.startsWith('-') ? each : execArgv[index - 1]))
}
