/** The style sheets of the panel. */
import { h } from './dom.mjs'

/**
 * Adds style sheets to the page, once for all panels and dialogs.
 *
 * @param names of files in `css`, without their ending.
 * @returns {Promise} fulfilled once each is there or cannot be loaded: what is painted before that is unstyled.
 */
export function loadStyles(names) {
  return Promise.all(names.map(load))
}

function load(name) {
  const { href } = new URL(`../css/${name}.css`, import.meta.url)
  return new Promise(done => document.head.append(h('link', { rel: 'stylesheet', href, onload: done, onerror: done })))
}
