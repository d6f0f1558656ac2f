/** The player of a finished film, with its chapters and captions. */
import { openDialog } from '../shared/dialog.mjs'
import { h } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

/** Seconds as minutes and seconds. */
export const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`

/** The address of a film's captions. */
export const captionsUrl = (studio, key, language, format, download) =>
  studio.app.api.apiURL(`/story_studio/captions?${new URLSearchParams({ key, language, format, ...(download && { download: 1 }) })}`)

/** Plays a film as POST /story_studio/films gives it; the arrow keys lead from chapter to chapter. */
export function openPlayer(studio, film, title) {
  const video = h('video', { src: studio.url(film.file), controls: true, autoplay: true, aria: { label: title } })
  video.append(...film.captions.map(language => track(studio, film.key, language)))
  const buttons = film.chapters.map((chapter, index) =>
    h('button', { type: 'button', onclick: () => seek(index) }, h('span', { dir: 'auto', textContent: chapter.title }), h('span', { className: 'time', textContent: clock(chapter.start) })),
  )
  const chapters = h('div', { className: 'chapters', role: 'group', hidden: !buttons.length, aria: { label: t('Chapters') } }, ...buttons)
  let current = -1

  function seek(index) {
    const chapter = film.chapters[index]
    // A hair later, or rounding shows the last frame of the chapter before.
    if (chapter) video.currentTime = chapter.start + 0.001
  }

  function mark() {
    const now = film.chapters.findIndex(({ start, end }) => video.currentTime >= start && video.currentTime < end)
    if (now === current || now < 0) return
    current = now
    buttons.forEach((button, index) => (index === now ? button.setAttribute('aria-current', 'true') : button.removeAttribute('aria-current')))
    buttons[now].scrollIntoView({ block: 'nearest' })
  }

  video.ontimeupdate = mark
  const keys = { ArrowLeft: () => seek(Math.max(0, current - 1)), ArrowRight: () => seek(current + 1) }
  const heading = h('div', { className: 'head' }, h('h3', { dir: 'auto', textContent: title }))
  openDialog({ label: title, className: 'player', keys }, heading, h('div', { className: 'stage' }, video, chapters))
  video.focus()
}

function track(studio, key, language) {
  return h('track', { kind: 'captions', src: captionsUrl(studio, key, language, 'vtt'), label: language || t('Captions'), srclang: language || 'und' })
}
