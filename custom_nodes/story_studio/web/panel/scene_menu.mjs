/** A card's menu of what can be rendered of its scene alone, and the first seconds of its clip. */
import { FIRST_SECONDS, forgetLook, renderScene, showFirstSeconds } from '../actions/render.mjs'
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

export function createSceneMenu(id, studio) {
  const { button, list, items } = createMenu(t('Render…'), [
    [t('This scene'), () => renderScene(studio, id, ['still', 'clip'])],
    [t('Only its still'), () => renderScene(studio, id, ['still'])],
    [t('First {} seconds of its clip', FIRST_SECONDS), () => showFirstSeconds(studio, id)],
  ])
  const wrapper = h('div', { className: 'menu' }, button, list)
  const look = createLook(id, studio)
  const element = h('div', { className: 'scene-menu' }, wrapper, look.element)
  // Neither a click in it nor one on the video moves the canvas.
  element.onclick = event => event.stopPropagation()
  return {
    element,
    close: look.close,
    paint(scene, title) {
      set(items[0], { hidden: !scene.clip })
      set(items[1], { hidden: !scene.still })
      set(items[2], { hidden: !scene.clip })
      button.setAttribute('aria-label', t('Render of {}…', title))
      look.paint(title)
    },
  }
}

/** A button and the menu that it opens: arrows move in it, Escape closes it. */
function createMenu(label, entries) {
  const button = h('button', { type: 'button', textContent: label, aria: { haspopup: 'menu', expanded: 'false' } })
  const items = entries.map(([text, act]) =>
    h('button', { type: 'button', role: 'menuitem', tabIndex: -1, textContent: text, onclick: () => (open(false), button.focus(), act()) }),
  )
  const list = h('div', { role: 'menu', className: 'entries', hidden: true, aria: { label } }, ...items)

  function open(wanted) {
    list.hidden = !wanted
    button.setAttribute('aria-expanded', String(wanted))
    if (wanted) items.find(item => !item.hidden)?.focus()
  }

  button.onclick = () => open(list.hidden)
  list.onkeydown = event => {
    const shown = items.filter(item => !item.hidden)
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step) shown.at((shown.indexOf(document.activeElement) + step) % shown.length).focus()
    else if (event.key === 'Escape') (open(false), button.focus())
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  list.onfocusout = event => list.contains(event.relatedTarget) || event.relatedTarget === button || open(false)
  return { button, list, items }
}

/** The first seconds once they are rendered, until they are closed. */
function createLook(id, studio) {
  const text = h('p', { role: 'status' })
  const video = h('video', { controls: true, loop: true, hidden: true })
  const close = h('button', { type: 'button', textContent: t('Close'), onclick: () => forgetLook(studio, id) })
  const element = h('div', { className: 'look', hidden: true }, text, video, close)

  function silence() {
    if (!video.hasAttribute('src')) return
    video.pause()
    video.removeAttribute('src')
    // Without it, the element keeps playing what it has loaded.
    video.load()
  }

  return {
    element,
    close: silence,
    paint(title) {
      const look = studio.looks.get(id)
      set(element, { hidden: !look })
      if (!look) return silence()
      const waits = !look.file && !look.problem
      set(text, { textContent: look.problem || (waits ? t('The first {} seconds are being rendered…', FIRST_SECONDS) : t('The first {} seconds: a look, not a take', FIRST_SECONDS)) })
      set(video, { hidden: !look.file })
      video.setAttribute('aria-label', t('First seconds of {}', title))
      const url = look.file ? new URL(studio.url(look.file), location.href).href : ''
      if (url && video.src !== url) video.src = url
    },
  }
}
