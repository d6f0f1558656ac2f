"""What a part of a page shows, measured: contrast of texts, names of controls, what juts out."""

from __future__ import annotations

from playwright.sync_api import Locator


def faint(root: Locator) -> list[str]:
    """The texts whose contrast with their ground is below 4.5:1, but for controls that are disabled."""
    return root.evaluate(_FAINT)


def nameless(root: Locator) -> list[str]:
    """The controls and media that have no name with a letter or digit in it."""
    return root.evaluate(_NAMELESS)


def jutting(root: Locator, width: int) -> list[str]:
    """What is wider than the panel if that is so many pixels wide, and headings of more than one line."""
    return root.evaluate(_JUTTING, width)


_FAINT = """root => {
    const pixel = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = color => {
        pixel.clearRect(0, 0, 1, 1);
        pixel.fillStyle = color;
        pixel.fillRect(0, 0, 1, 1);
        const [red, green, blue, alpha] = pixel.getImageData(0, 0, 1, 1).data;
        return [red, green, blue, alpha / 255];
    };
    const over = (color, under) => [0, 1, 2].map(i => color[i] * color[3] + under[i] * (1 - color[3]));
    const ground = element => {
        const color = rgba(getComputedStyle(element).backgroundColor);
        return color[3] === 1 || !element.parentElement ? color : over(color, ground(element.parentElement));
    };
    const linear = one => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    const light = color => {
        const [red, green, blue] = color.map(one => linear(one / 255));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const found = [];
    let count = 0;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const text = walker.currentNode.data.trim();
        if (!text || !element.checkVisibility() || element.tagName === 'OPTION') continue;
        if (element.closest(':disabled, [aria-disabled=true]')) continue;
        count++;
        const back = ground(element);
        const color = rgba(getComputedStyle(element).color);
        for (let one = element; one; one = one.parentElement) {
            color[3] *= Number(getComputedStyle(one).opacity);
        }
        const [dark, bright] = [light(over(color, back)), light(back)].sort((one, other) => one - other);
        const ratio = (bright + 0.05) / (dark + 0.05);
        if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.className}: ${text.slice(0, 40)}`);
    }
    return count > 3 ? found : [`only ${count} texts`];
}"""
_NAMELESS = r"""root => {
    const kinds = 'button, input, select, textarea, a, summary, video, audio, img, progress, dialog, '
        + '[role=slider], [role=group], [role=menu], [role=menuitem], [tabindex="0"]';
    const bare = ['INPUT', 'TEXTAREA', 'SELECT', 'VIDEO', 'AUDIO', 'PROGRESS', 'DIALOG'];
    const name = one => one.getAttribute('aria-label') || one.alt
        || [...(one.labels ?? [])].map(label => label.textContent).join(' ')
        || (bare.includes(one.tagName) ? '' : one.textContent);
    // What is in a button is a part of its name.
    const counts = one => one.checkVisibility() && !one.closest('[aria-hidden=true]')
        && !one.parentElement.closest('button');
    return [...root.querySelectorAll(kinds)]
        .filter(one => counts(one) && !/[\p{L}\p{N}]/u.test(name(one)))
        .map(one => one.outerHTML.slice(0, 120));
}"""
_JUTTING = """async (root, width) => {
    root.style.width = `${width}px`;
    await new Promise(requestAnimationFrame);
    const { right } = root.getBoundingClientRect();
    const aside = '.takes, dialog, .announcement, .spoken';
    const found = [...root.querySelectorAll('*')]
        .filter(one => one.checkVisibility() && !one.closest(aside))
        .filter(one => one.getBoundingClientRect().right > right + 1)
        .map(one => `${width}: ${one.className || one.tagName} ${one.textContent.slice(0, 30)}`);
    const heading = root.querySelector('h2');
    if (heading.offsetHeight > 30) found.push(`${width}: a heading of ${heading.offsetHeight} px`);
    root.style.width = '';
    return found;
}"""
