"use strict";
(() => {
  const form = document.getElementById("filters");
  if (form) {
    const cards = [...document.querySelectorAll(".card.pair")];
    const count = document.getElementById("count");
    const fits = (card) =>
      ["kind", "made", "weight"].every((name) => !form[name].value || form[name].value === card.dataset[name]) &&
      (!form.apart.value || Number(card.dataset.apart) >= Number(form.apart.value));
    const show = () => {
      for (const card of cards) card.hidden = !fits(card);
      count.textContent = `${cards.filter((card) => !card.hidden).length} of ${cards.length} shown`;
    };
    form.hidden = false;
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    show();
  }
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  if (!("IntersectionObserver" in window)) return;
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      link.setAttribute("aria-current", "true");
      link.parentElement.parentElement.scrollTo({ left: link.offsetLeft - 24, behavior: "smooth" });
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const id of links.keys()) watch.observe(document.getElementById(id));
})();
