/** Of several requests that are on their way, only the answer to the last one counts. */

/** A function to call for each request; it returns whether that one is still the last. */
export function createTurns() {
  let last = 0
  return () => {
    const own = ++last
    return () => own === last
  }
}
