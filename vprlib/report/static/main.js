// Start: charts, the explorer and the map are made when they are about to be seen.

/** Mark the section that is read in the navigation. */
function followSections() {
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        const link = links.get(entry.target.id);
        link?.setAttribute("aria-current", "true");
        link?.parentElement.scrollTo({ left: link.offsetLeft - 60 });
      }
    },
    { rootMargin: "-20% 0px -75% 0px" },
  );
  for (const section of all("main > section")) observer.observe(section);
}

/** Open what a link leads into. */
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
}

followSections();
startCharts();
startExplorer();
startMap();
window.addEventListener("hashchange", openTarget);
openTarget();
(window.requestIdleCallback ?? setTimeout)(plotly); // so that printing need not wait for it
document.documentElement.dataset.ready = "yes";
