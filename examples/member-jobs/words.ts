/** '1,421', in every locale of the machine. */
export function number(value: number): string {
  return value.toLocaleString('en-US')
}

/** '16,880 thousand km²'. */
export function area(km2: number): string {
  return `${number(Math.round(km2 / 1000))} thousand km²`
}
