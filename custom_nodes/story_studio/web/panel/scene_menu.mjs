/** A card's menu of what can be rendered of its scene alone, and the first seconds of its clip. */
import { FIRST_SECONDS, forgetLook, renderScene, showFirstSeconds } from '../actions/render.mjs'
import { h, set } from '../shared/dom.mjs'
import { createMenu } from '../shared/menu.mjs'
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
      set(text, { textContent: look.problem || (waits ? t('The first {} seconds are being rendered…', FIRST_SECONDS) : t('The first {} seconds: a preview, not a take', FIRST_SECONDS)) })
      set(video, { hidden: !look.file })
      video.setAttribute('aria-label', t('First seconds of {}', title))
      const url = look.file ? new URL(studio.url(look.file), location.href).href : ''
      if (url && video.src !== url) video.src = url
    },
  }
}
