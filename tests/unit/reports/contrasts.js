// Every visible text of the page whose contrast with what lies behind it is below 4.5 (WCAG 2.2, 1.4.3), and how many were looked at.
(() => {
  const colour = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [r * scale, g * scale, b * scale, a];
  };
  const over = (top, bottom) => [0, 1, 2].map((i) => top[i] * top[3] + bottom[i] * (1 - top[3])).concat(1);
  const behind = (element) => {
    if (!element) return [255, 255, 255, 1];
    const own = colour(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (first, second) => {
    const [low, high] = [luminance(first), luminance(second)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  let checked = 0;
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.matches("script, style, option")) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const ink = colour(element.closest("svg") ? style.fill : style.color);
    const found = contrast(over([...ink.slice(0, 3), ink[3] * Number(style.opacity)], back), back);
    checked += 1;
    if (found < 4.5) faint.push(`${node.data.trim().slice(0, 40)} (${element.className}): ${found.toFixed(2)}`);
  }
  return { checked, faint: [...new Set(faint)] };
})();
