/** '1,421', whatever the machine's language. */
export function number(value: number): string {
  return value.toLocaleString('en-US')
}

/** '16,880 thousand km²'. */
export function area(km2: number): string {
  return `${number(Math.round(km2 / 1000))} thousand km²`
}
