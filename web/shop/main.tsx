import { createRoot } from "react-dom/client";
import { startTheme } from "../src/ui/theme";
import { App } from "./App";
import "./shop.css";

startTheme();
const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
