"use strict";
// The live view: asks the server that sent this page whether the logs have grown, and offers to reload. What is searched,
// filtered and selected stands in the address, and so outlives the reload.
(() => {
  const EVERY = 3000; // milliseconds
  const bar = document.getElementById("live");
  const status = document.getElementById("live-status");
  const button = document.getElementById("live-reload");
  const follow = document.getElementById("live-follow");

  // Whoever types, or reads a trajectory, is not interrupted.
  const BUSY = "input[type=search], input[type=number], #browser-detail, #browser-detail *";
  const isBusy = () => document.activeElement?.matches(BUSY);

  const ask = async () => {
    try {
      const response = await fetch("version", { cache: "no-store" });
      const version = await response.text();
      if (response.ok && version !== bar.dataset.version) {
        if (follow.checked && !isBusy()) return location.reload();
        status.textContent = "The run went on.";
        button.hidden = false;
      }
    } catch {
      status.textContent = "The viewer does not answer: this page stays as it is. Run `fission view` again to go on.";
    }
    setTimeout(ask, EVERY);
  };

  follow.checked = sessionStorage.getItem("follow") !== "no";
  follow.addEventListener("change", () => sessionStorage.setItem("follow", follow.checked ? "yes" : "no"));
  button.addEventListener("click", () => location.reload());
  setTimeout(ask, EVERY);
})();
