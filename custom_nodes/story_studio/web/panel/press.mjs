/** Clicks on what is painted all the time. */

/** What ends pressing, apart from a move without a pressed button: after scroll bars and lists of choices nothing else comes. */
const ENDS = ['pointerup', 'pointercancel', 'keydown']

/**
 * Paints an element, but not while it is pressed: a click on what moves away or is replaced meanwhile would be lost.
 *
 * @returns the function to call instead of `paint`.
 */
export function paintUnlessPressed(element, paint) {
  let [isPressed, isDue] = [false, false]

  function press({ target }) {
    // The controls of a video, which pressing it may show, keep the end of that for themselves.
    if (target.closest('video')) return
    isPressed = true
    const over = new AbortController()
    const end = () => {
      over.abort()
      // The click follows at once.
      setTimeout(release)
    }
    for (const name of ENDS) window.addEventListener(name, end, { capture: true, signal: over.signal })
    window.addEventListener('pointermove', ({ buttons }) => buttons || end(), { capture: true, signal: over.signal })
  }

  function release() {
    isPressed = false
    if (!isDue || !element.isConnected) return
    isDue = false
    paint()
  }

  element.addEventListener('pointerdown', press, { capture: true })
  return () => (isPressed ? (isDue = true) : paint())
}
