/** What is folded in or out in the panel, as this browser remembers it. */

const KEY = 'StoryStudio.Folds'
let kept = read()

/** Whether something of this name was left open. */
export const isOpen = name => kept[name] === true

/** Remembers whether it is open. */
export function remember(name, open) {
  kept = { ...kept, [name]: open }
  try {
    localStorage.setItem(KEY, JSON.stringify(kept))
  } catch {
    // A full or forbidden storage: it is remembered until the page is left.
  }
}

/** Makes a <details> element open as it was left. */
export function remembered(details, name) {
  details.open = isOpen(name)
  details.addEventListener('toggle', () => {
    if (details.open !== isOpen(name)) remember(name, details.open)
  })
  return details
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {}
  } catch {
    return {}
  }
}
