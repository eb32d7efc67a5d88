import { Jobs } from "@/features/training/components/jobs";

export const metadata = { title: "Training" };

export default function TrainingPage() {
  return <Jobs />;
}
