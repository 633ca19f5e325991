// The products, drawn: a few shapes each, in tones that hold on light and on dark.
import type { ReactNode } from "react";

const mug = (tone: string): ReactNode => (
  <>
    <path d="M36 44h44v38a10 10 0 0 1-10 10H46a10 10 0 0 1-10-10z" fill={tone} />
    <path d="M80 52h6a10 10 0 0 1 0 24h-6" fill="none" stroke={tone} strokeWidth="6" />
    <ellipse cx="58" cy="44" rx="22" ry="5" fill="#00000026" />
    <path d="M42 56c10 5 22 5 32 0v6c-10 5-22 5-32 0z" fill="#ffffff2e" />
  </>
);
const shirt = (tone: string, line: string): ReactNode => (
  <>
    <path d="M44 32l-22 12 8 18 10-5v39h40V57l10 5 8-18-22-12a16 10 0 0 1-32 0z" fill={tone} stroke={line} strokeWidth="2" strokeLinejoin="round" />
    <path d="M44 32a16 10 0 0 0 32 0" fill="none" stroke={line} strokeWidth="3" />
  </>
);
const bag = (tone: string, name: string): ReactNode => (
  <>
    <path d="M38 34h44l4 62H34z" fill={tone} />
    <path d="M38 34h44v-6H38z" fill="#00000033" />
    <rect x="44" y="54" width="32" height="26" rx="3" fill="#fff8ea" />
    <path d={name} fill="none" stroke={tone} strokeWidth="4" strokeLinecap="round" />
  </>
);

const DRAWN: Readonly<Record<string, readonly [ground: string, drawing: ReactNode]>> = {
  "1001": ["#dbe7f3", mug("#3a6ea5")],
  "1002": ["#dfeadb", mug("#5b7f4b")],
  "1003": ["#f2e3d3", bag("#9a5b2b", "M52 72c2-10 12-12 16-10-1 8-8 12-16 10z")],
  "1004": ["#eadfd6", bag("#5a3d2b", "M56 60c8 2 10 10 6 14M62 59c-8 4-8 11-4 16")],
  "1005": ["#e6e4de", shirt("#fdfcf8", "#b9b4a6")],
  "1006": ["#dcdde2", shirt("#2c2e35", "#4b4e59")],
  "1007": ["#efe0dc", <><path d="M44 26h20v38l18 18a10 10 0 0 1-8 17H58L44 84z" fill="#b3564a" /><path d="M44 26h20v9H44zM74 99a10 10 0 0 0 8-17l-9-9-9 14zM44 70l14 0-2 16z" fill="#f3d9cf" /></>],
  "1008": ["#e2e6ee", <><rect x="36" y="26" width="50" height="70" rx="4" fill="#33415e" /><rect x="36" y="26" width="9" height="70" fill="#263149" /><path d="M78 26v70" stroke="#d9a441" strokeWidth="3" /><rect x="52" y="40" width="18" height="10" rx="1" fill="#eef1f6" /></>],
  "1009": ["#ece7f2", <>{["#2b2f3a", "#2f62b5", "#b53a3a"].map((tone, at) => <g key={tone} transform={`rotate(${at * 10 - 10} 60 96)`}><rect x={44 + at * 12} y="26" width="8" height="58" rx="3" fill={tone} /><path d={`M${44 + at * 12} 84h8l-4 13z`} fill="#d8d2c6" /><rect x={44 + at * 12} y="30" width="3" height="24" fill="#ffffff4d" /></g>)}</>],
  "1010": ["#f0e6e4", <><path d="M40 56h40v36a5 5 0 0 1-5 5H45a5 5 0 0 1-5-5z" fill="#7d4a5b" /><rect x="46" y="66" width="28" height="18" rx="2" fill="#f7ebe4" /><path d="M60 56V46" stroke="#4a3a36" strokeWidth="2" /><path d="M60 24c8 10 8 20 0 22-8-2-8-12 0-22z" fill="#f1a43c" /><path d="M60 33c3 5 3 10 0 11-3-1-3-6 0-11z" fill="#fde3a7" /></>],
  "1011": ["#e4ebe7", <><path d="M30 38h44v56H30z" fill="#f8f6ef" stroke="#c9c4b4" /><path d="M46 28h44v56H46z" fill="#efeadb" stroke="#c9c4b4" /><path d="M46 36h44M46 42h44M46 74h44M52 28v56M84 28v56" stroke="#b2574b" strokeWidth="2.5" /></>],
  "1012": ["#eee8d9", <><path d="M34 48h52l4 48H30z" fill="#d8c7a0" /><path d="M46 58V38a14 14 0 0 1 28 0v20" fill="none" stroke="#a98f5d" strokeWidth="5" /><path d="M48 78c8-8 16-8 24 0M48 84c8-8 16-8 24 0" fill="none" stroke="#3f6c8f" strokeWidth="3" strokeLinecap="round" /></>],
  "1013": ["#dde9ea", <><path d="M46 46c0-6 4-7 4-12h20c0 5 4 6 4 12v46a6 6 0 0 1-6 6H52a6 6 0 0 1-6-6z" fill="#4d8b8c" /><rect x="50" y="22" width="20" height="12" rx="3" fill="#2e3a40" /><path d="M52 48v44" stroke="#ffffff59" strokeWidth="4" strokeLinecap="round" /><path d="M46 80h28" stroke="#326a6c" strokeWidth="3" /></>],
  "1014": ["#f1ead8", <><rect x="40" y="92" width="40" height="6" rx="3" fill="#8a6a22" /><path d="M60 92V66L44 46l18-16" fill="none" stroke="#c59a3c" strokeWidth="5" strokeLinecap="round" strokeLinejoin="round" /><path d="M60 18l24 18-16 12-16-20z" fill="#d8ae4d" /><path d="M68 48l16-12 8 26z" fill="#ffe9a6aa" /></>],
  "1015": ["#e6e3ea", <><path d="M28 34c10 5 54 5 64 0-5 12-5 46 0 58-10-5-54-5-64 0 5-12 5-46 0-58z" fill="#7a6c9b" /><path d="M34 50c18 4 34 4 52 0M34 63c18 3 34 3 52 0M34 76c18 4 34 4 52 0" fill="none" stroke="#b6abd0" strokeWidth="3" /></>],
  "1016": ["#e4e6e8", <><path d="M56 16c14 14 18 36 12 52H56z" fill="#c3cbd2" /><path d="M56 16c3 3 5 6 6 10v42h-6z" fill="#e6ebef" /><rect x="55" y="68" width="11" height="30" rx="4" fill="#4a3526" /><path d="M60 76v0M60 88v0" stroke="#d6b27c" strokeWidth="3" strokeLinecap="round" /></>],
  "1017": ["#e3e2e0", <><circle cx="52" cy="62" r="30" fill="#3b3d40" /><circle cx="52" cy="62" r="23" fill="#515457" /><path d="M74 42l24-22" stroke="#3b3d40" strokeWidth="9" strokeLinecap="round" /><path d="M38 56a16 16 0 0 1 14-11" fill="none" stroke="#7d8185" strokeWidth="3" strokeLinecap="round" /></>],
  "1018": ["#dfe8dd", <><path d="M36 48a24 24 0 0 1 48 0v42a8 8 0 0 1-8 8H44a8 8 0 0 1-8-8z" fill="#48704f" /><path d="M50 26a10 10 0 0 1 20 0" fill="none" stroke="#2f4c35" strokeWidth="4" /><rect x="43" y="66" width="34" height="24" rx="5" fill="#3a5c41" /><path d="M43 74h34M60 40v14" stroke="#d9b25a" strokeWidth="3" /></>],
  "1019": ["#e8e6d8", <><path d="M46 30l-20 14-4 40h12l4-22v36h44V62l4 22h12l-4-40-20-14z" fill="#d6a12c" /><path d="M46 30c4 12 24 12 28 0-4-8-24-8-28 0z" fill="#b3831c" /><path d="M60 38v60" stroke="#8a6512" strokeWidth="3" /><path d="M44 76h10M66 76h10" stroke="#8a6512" strokeWidth="3" strokeLinecap="round" /></>],
  "1020": ["#efe1e1", <><path d="M38 34c14-10 30-10 44 0l-4 18c-12-7-24-7-36 0z" fill="#a43f4c" /><path d="M44 46h17v46H44zM64 46h15v34H64z" fill="#bd5360" /><path d="M44 84h17M64 72h15M44 62h17M64 58h15" stroke="#f0d4d2" strokeWidth="3" /><path d="M46 92v7M52 92v7M58 92v7M67 80v7M73 80v7" stroke="#a43f4c" strokeWidth="3" /></>],
  "1021": ["#dfe6ef", <><path d="M30 30h26v9a7 7 0 1 0 8 0v-9h26v60H64v-9a7 7 0 1 0-8 0v9H30z" fill="#567aa8" /><path d="M30 60h11a7 7 0 1 1 0 6H30M64 60h11a7 7 0 1 1 0 6h15" fill="#87a5c9" /></>],
  "1022": ["#e1e4ef", <><rect x="30" y="38" width="38" height="56" rx="5" fill="#f7f4ec" stroke="#b9b3a2" transform="rotate(-10 49 66)" /><rect x="50" y="30" width="40" height="58" rx="5" fill="#2f3f6b" transform="rotate(8 70 59)" /><path d="M70 42l4 18h-8zM64 62h14l2 14H62z" fill="#f2c14e" transform="rotate(8 70 59)" /></>],
  "1023": ["#efe6d8", <><path d="M42 22h36v30H42z" fill="none" stroke="#b07c3f" strokeWidth="6" /><path d="M42 36h36" stroke="#b07c3f" strokeWidth="5" /><path d="M36 58h48v9H36z" fill="#c79353" /><path d="M42 52v46M78 52v46M42 84h36" stroke="#a06f36" strokeWidth="6" /></>],
  "1024": ["#e3e4ea", <><path d="M32 66a28 28 0 0 1 56 0" fill="none" stroke="#35384a" strokeWidth="7" /><rect x="26" y="62" width="16" height="30" rx="7" fill="#4a4f68" /><rect x="78" y="62" width="16" height="30" rx="7" fill="#4a4f68" /><path d="M42 66v22M78 66v22" stroke="#8e94b3" strokeWidth="4" strokeLinecap="round" /></>],
};

/** A product's picture; its name stands beside it. */
export function Art({ id, large = false }: { id: string; large?: boolean }) {
  const [ground, drawing] = DRAWN[id] ?? ["#e6e6e6", null];
  return (
    <svg className={large ? "art large" : "art"} viewBox="0 0 120 120" aria-hidden="true">
      <rect className="ground" width="120" height="120" fill={ground} />
      <ellipse cx="60" cy="100" rx="34" ry="4" fill="#00000014" />
      {drawing}
    </svg>
  );
}
