/** '1 flight', '19,999 flights'. */
export function amount(count: number, noun: string): string {
  return `${number(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** '19,999', in every locale of the machine. */
export function number(value: number): string {
  return value.toLocaleString('en-US')
}
